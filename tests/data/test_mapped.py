"""A data set that stays on the disk: the same bits as in memory, and no more memory than a batch takes."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from sparsify import data
from sparsify.data import memory, storage
from sparsify.data.mapped import Mapped
from sparsify.losses import answers, cross_entropy, distillation
from sparsify.measure.accuracy import predict
from sparsify.training import fit

TOP = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
    images = torch.randint(0, 256, (300, 3, 6, 5), dtype=torch.uint8)
    data.save(tmp_path / "d", data.Raw(images, torch.arange(300) % 4), None, 50, 0)
    return tmp_path / "d"


def test_a_mapped_split_gives_the_same_batches_in_any_order(folder):
    whole, mapped = (data.load(folder, mapped=mapped) for mapped in (False, True))
    order = list(torch.randperm(len(whole.train)).split(20))
    for ours, theirs in ((mapped.train, whole.train), (mapped.test, whole.test)):
        assert ours.mapped and not theirs.mapped and (len(ours), ours.shape) == (len(theirs), theirs.shape)
        assert torch.equal(ours[3:7], theirs[3:7]) and torch.equal(ours[torch.tensor([4, 1])], theirs[torch.tensor([4, 1])])
        assert torch.equal(torch.cat(list(ours.in_order(7))), theirs[:]) and torch.equal(ours.labels, theirs.labels)
    batches = list(mapped.train.batches(order))
    assert len(batches) == len(order) > 2  # by workers
    assert all(torch.equal(batch, whole.train[indices]) for batch, indices in zip(batches, order, strict=True))


def test_training_on_a_mapped_data_set_ends_with_the_same_bits(folder, train_settings):
    settings, ends = train_settings(epochs=3, batch_size=16, input_noise=0.3, input_dropout=0.1, shift=4, flip=True), []
    for mapped in (False, True):
        dataset = data.load(folder, mapped=mapped)
        torch.manual_seed(1)
        model, teacher = (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4)) for _ in "ab")
        loss = distillation(model, answers(teacher, dataset.train, settings), settings, 0.5, 2.0)
        curve = fit(model, dataset.train, loss, settings, lambda s=dataset, m=model: {"sum": predict(m, s.validation).sum().item()}, "test")
        ends.append(([{**row, "seconds": 0} for row in curve], predict(model, dataset.test), torch.rand(1)))
    (curve, logits, drawn), (other_curve, other_logits, other_drawn) = ends
    assert curve == other_curve and torch.equal(logits, other_logits) and drawn == other_drawn


def test_steps_on_a_mapped_data_set_are_not_captured(folder, train_settings, cpu_or_cuda):
    for mapped in (False, True):
        train, calls = data.load(folder, cpu_or_cuda, mapped=mapped).train, []
        model = nn.Sequential(nn.Flatten(), nn.Linear(90, 4)).to(cpu_or_cuda)
        inner = cross_entropy(model, train_settings())
        fit(model, train, lambda batch, inner=inner, calls=calls: calls.append(1) or inner(batch), train_settings(batch_size=10), dict, "t")
        assert (len(calls) == 2 * (len(train) // 10)) == mapped  # a graph asks Python at a few steps alone


@pytest.mark.parametrize(("free", "mapped"), [(2, False), (1.99, True)])
def test_what_fills_more_than_half_of_the_free_memory_stays_on_the_disk_and_one_line_says_so(folder, monkeypatch, capsys, free, mapped):
    size = 300 * 3 * 6 * 5
    monkeypatch.setattr(memory, "free", lambda _: int(free * size))
    assert data.load(folder).train.mapped == mapped
    said = capsys.readouterr().err.splitlines()
    assert len(said) == mapped and all("stays on the disk" in line for line in said)


def test_a_mapped_split_travels_to_a_worker_as_the_name_of_its_file(folder):
    mapped = Mapped(folder / storage.INPUTS, torch.arange(3))
    expected = mapped[torch.tensor([2, 0])]
    assert len(pickle.dumps(mapped)) < 1000
    assert torch.equal(pickle.loads(pickle.dumps(mapped))[torch.tensor([2, 0])], expected)


LIMITED = """
import resource, sys
from pathlib import Path
import torch
import torch._dynamo  # which an optimiser loads: it is not measured here
from torch import nn
torch.set_num_threads(1)
from sparsify import data
from sparsify.measure.accuracy import accuracy_percent
from sparsify.losses import cross_entropy
from sparsify.training import TrainSettings, fit

class Stripes:  # a class is a brightness
    def __len__(self):
        return 3000
    def __getitem__(self, number):
        return torch.full((3, 128, 128), 40 + 150 * (number % 2), dtype=torch.uint8), number % 2

used = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmData"))
limit, size = used + (100 << 20), 3000 * 3 * 128 * 128
assert size > 100 << 20
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    torch.empty(size, dtype=torch.uint8).fill_(1)
    sys.exit("the limit does not limit")
except RuntimeError:
    pass
data.save(Path("d"), Stripes(), None, 200, 0)
dataset = data.load(Path("d"))
model = nn.Sequential(nn.AvgPool2d(64), nn.Flatten(), nn.Linear(12, 2))
settings = TrainSettings(epochs=1, batch_size=64, lr=0.03)
fit(model, dataset.train, cross_entropy(model, settings), settings, dict, "limited")
print(dataset.train.mapped, len(dataset.train), accuracy_percent(model, dataset.test))
"""


def test_a_data_set_larger_than_the_memory_limit_is_read_trained_on_and_measured(tmp_path):
    without_holes = {"MALLOC_MMAP_THRESHOLD_": "1000000"}  # in glibc's heap
    done = subprocess.run([sys.executable, "-c", LIMITED], cwd=tmp_path, capture_output=True, text=True, timeout=120,
                          env={"PYTHONPATH": str(TOP), "OMP_NUM_THREADS": "1", **without_holes})
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "2200", "100.0"]
    assert "stays on the disk" in done.stderr
