"""finetune.teacher, through the stages: another network than the dense one may teach, if it has learnt from the same examples."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from test_recipes import compose
from torch import nn

import sparsify
from sparsify import data, models
from sparsify.settings import InputError
from stages import controls, networks, params, prune, runtime, train_baseline, train_bayesian

PARAMS, TEACHER = Path("params.yaml"), Path("teacher.safetensors")
QUICK = ("recipe=smoke", "finetune.distill=0.9", "finetune.train.shift=1", "controls.methods=[magnitude]", "prune.threshold=9")


def prepare(*overrides: str, split_seed: int = 0, classes: int = 10) -> None:
    compose(PARAMS, *QUICK, *overrides)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (120, 1, 28, 28), dtype=torch.uint8, generator=generator)
    data.save(runtime.DATASET, data.Raw(images, torch.arange(120) % classes), data.Raw(images, torch.arange(120) % classes), 20, split_seed)


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def taught(*overrides: str) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """The network that prune makes, and the figures of its control by magnitude."""
    prepare(*overrides)
    runtime.main(prune.prune)
    runtime.main(controls.controls)
    return sparsify.load(runtime.COMPACT).state_dict(), json.loads((runtime.METRICS / "controls.json").read_text())["controls"]["magnitude"]


def loaded() -> nn.Module:
    chosen, dataset = params.load(), data.load(runtime.DATASET)
    return networks.teacher(chosen, networks.load(runtime.BASELINE, networks.architecture(chosen, dataset)), dataset)


def test_another_network_teaches_what_prune_and_controls_make():
    prepare("model.name=lenet5", "model.width=0.1", "baseline.shift=2")
    runtime.main(train_baseline.train_baseline)
    shutil.move(runtime.BASELINE, TEACHER)
    prepare()
    runtime.main(train_baseline.train_baseline)
    runtime.main(train_bayesian.train_bayesian)
    shutil.copy(runtime.BASELINE, "same.safetensors")
    own, same, other = (taught(*teacher) for teacher in ((), ("finetune.teacher=same.safetensors",), (f"finetune.teacher={TEACHER}",)))
    assert all(torch.equal(own[0][name], same[0][name]) for name in own[0])
    assert not torch.equal(own[0]["fc1.weight"], other[0]["fc1.weight"])
    assert own[1]["nll"] == same[1]["nll"] != other[1]["nll"]
    assert hasattr(loaded(), "conv1")  # of LeNet-5


def save(network: nn.Module, **about) -> None:
    sparsify.save(network, TEACHER, **about)


@pytest.mark.parametrize(("make", "words"), [
    (lambda: TEACHER.write_text("no network"), "teacher.safetensors"),
    (lambda: None, "teacher.safetensors does not exist"),
    (lambda: save(models.Architecture("lenet5", (1, 28, 28), 7).build(), architecture=models.Architecture("lenet5", (1, 28, 28), 7)),
     r"answers with \(7,\) numbers to an image; it has to have one for each of the 10 classes"),
    (lambda: save(nn.Sequential(nn.Flatten(), nn.Linear(784, 10))), "holds a Sequential"),
], ids=["no network", "no file", "other classes", "a class of one's own"])
def test_what_cannot_teach_is_refused(make, words):
    prepare()
    runtime.main(train_baseline.train_baseline)
    make()
    prepare(f"finetune.teacher={TEACHER}")
    with pytest.raises(InputError, match=words):
        loaded()


def test_a_teacher_that_may_have_seen_the_validation_examples_is_refused():
    prepare(split_seed=1)
    runtime.main(train_baseline.train_baseline)
    shutil.move(runtime.BASELINE, TEACHER)
    prepare(f"finetune.teacher={TEACHER}")
    runtime.main(train_baseline.train_baseline)
    with pytest.raises(InputError, match=r"was trained on other data \(std differ\); train it with the same `data`"):
        loaded()
