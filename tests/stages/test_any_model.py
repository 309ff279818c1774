"""The stages on networks that are no chains, and on a table: from nothing to the pictures, with what a stage cannot do said once."""

import json
import sys
from pathlib import Path

import pytest
import torch
from test_recipes import compose
from torch import nn

import sparsify
from sparsify import data, tensorfile
from sparsify.data import Raw
from sparsify.models import Architecture
from sparsify.settings import InputError
from stages import benchmark, controls, params, plot, prune, runtime, sweep, train_baseline, train_bayesian, uncertainty

QUICK = ("recipe=smoke", "model.width=1.0", "baseline.epochs=1", "baseline.batch_size=16", "bayesian.train.epochs=1",
         "bayesian.train.batch_size=16", "bayesian.distill=0.0", "finetune.train.epochs=1", "finetune.train.batch_size=16",
         "prune.max_accuracy_drop=100", "sweep.shares=[0,50]", "sweep.seeds=[1]", "sweep.weight_steps=1", "sweep.unit_steps=1",
         "benchmark.batch_sizes=[2]", "benchmark.repeats=1", "sweep.timing_repeats=1")
TABLE = """
from torch import nn

def network(input_shape, n_classes):
    norm, hidden = nn.BatchNorm1d(input_shape[0]), nn.Linear(input_shape[0], 12)
    return nn.Sequential(norm, hidden, nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, n_classes))
"""


SLICED = """
import torch
from torch import nn

class Sliced(nn.Module):  # a layer of ten units, a number that is written into slices of another
    def __init__(self, features, n_classes):
        super().__init__()
        self.first, self.both = nn.Linear(features, 10), nn.Linear(10, 16)
        self.rest, self.last = nn.Linear(6, 40), nn.Linear(40, n_classes)

    def forward(self, inputs):
        first = torch.relu(self.first(inputs))
        both = self.both(first)
        first = first + both[:, :10]
        return self.last(torch.relu(self.rest(torch.relu(both[:, 10:]))) + first.sum(1, keepdim=True))

def network(input_shape, n_classes):
    return Sliced(*input_shape, n_classes)
"""
PRUNED = """
import torch
from torch import nn

def network(input_shape, n_classes):
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(*input_shape, 40), nn.ReLU(), nn.Linear(40, n_classes))
    for layer in (made[0], made[2]):
        layer.weight.data *= torch.rand(layer.weight.shape) < 0.25
    return made
"""


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPARSIFY_MIRROR", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("mine", None)


def prepare(name, shape, *overrides):
    """params.yaml, and a data set of three classes that noise hides."""
    compose(Path("params.yaml"), *QUICK, f"model.name={name}", *overrides)
    centres = torch.randn(3, *shape)
    labels = torch.arange(80) % 3
    inputs = centres[labels] + 0.3 * torch.randn(80, *shape)
    if len(shape) == 3:
        inputs = (64 * inputs + 128).clamp(0, 255).byte()
    data.save(runtime.DATASET, Raw(inputs[:64], labels[:64]), Raw(inputs[64:], labels[64:]), 16, 0)


def figures(stage):
    return json.loads((runtime.METRICS / f"{stage}.json").read_text())[stage]


@pytest.mark.parametrize(("name", "shape", "kind"), [
    ("vit", (1, 8, 8), "gate"), ("mine:network", (7,), "gaussian")])
def test_every_stage_runs_on(name, shape, kind, capsys):
    Path("mine.py").write_text(TABLE)
    narrow = ["model.width=0.125"] if ":" not in name else []
    prepare(name, shape, f"prior.kind={kind}", "prune.inputs=true", *narrow)
    for stage in (train_baseline, train_bayesian, prune, controls, benchmark, uncertainty, sweep, plot):
        runtime.main(getattr(stage, stage.__name__.rpartition(".")[2]))
    said = capsys.readouterr()
    images = len(shape) == 3
    # train_bayesian, prune and controls say it once each
    assert said.out.count("prune.inputs is true, but") == (3 if images else 0) and "Warning" not in said.err
    chosen = params.load()
    architecture = Architecture(name, shape, 3, chosen.model.width)
    small = sparsify.load(runtime.COMPACT, None if architecture.known else architecture.build())
    dense = architecture.build()
    assert type(small) is type(dense) and small(torch.randn(2, *shape)).shape == (2, 3)
    assert figures("prune")["logit_gap"] < 1e-3
    assert figures("prune")["hidden_left"] < figures("prune")["hidden_total"]
    assert figures("controls")["magnitude"]["hidden_left"] == figures("controls")["scratch"]["hidden_left"]
    assert (runtime.PLOTS / "sweep.png").is_file()
    if not architecture.known:
        with pytest.raises(InputError, match="holds a Sequential; give load one at full size"):
            sparsify.load(runtime.COMPACT)


def test_what_a_prior_leaves_alone_is_said_in_a_line_each(capsys):
    Path("mine.py").write_text("from torch import nn\n\ndef network(n_classes):\n    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), "
                               "nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(256, 6), nn.ReLU(), nn.Linear(6, n_classes))\n")
    prepare("mine:network", (1, 8, 8), "prior.kind=gate")
    for stage in (train_baseline.train_baseline, train_bayesian.train_bayesian, prune.prune):
        runtime.main(stage)
    said = capsys.readouterr()
    assert said.out.count("of 2 streams stay as they are: 0: group_norm takes statistics over its units") == 1 and "Warning" not in said.err


def test_weights_of_one_s_own_are_the_dense_network(capsys):
    torch.manual_seed(5)
    trained = Architecture("resnet20", (3, 8, 8), 3, 0.25).build()
    torch.save({"state_dict": trained.state_dict()}, "trained.pt")
    prepare("resnet20", (3, 8, 8), "model.width=0.25", "model.weights=trained.pt", "model.path=trained.pt", "baseline.epochs=0")
    runtime.main(train_baseline.train_baseline)
    dense = sparsify.load(runtime.BASELINE)
    assert all(torch.equal(tensor, dense.state_dict()[name]) for name, tensor in trained.state_dict().items())
    assert "drawn anew" not in capsys.readouterr().out


def test_weights_of_other_classes_keep_all_but_the_last_layer(capsys):
    torch.save(Architecture("resnet20", (3, 8, 8), 10, 0.25).build().state_dict(), "trained.pt")
    prepare("resnet20", (3, 8, 8), "model.width=0.25", "model.weights=trained.pt", "model.path=trained.pt", "baseline.epochs=0")
    runtime.main(train_baseline.train_baseline)
    assert "trained.pt is of other classes: fc.weight, fc.bias are drawn anew for the 3 here" in capsys.readouterr().out


def test_weights_that_no_one_watches_are_refused():
    compose(Path("params.yaml"), *QUICK, "model.weights=elsewhere/trained.pt")
    with pytest.raises(InputError, match=r"it has to lie at or in model.path, which is 'sparsify/models'"):
        params.load()
    compose(Path("params.yaml"), *QUICK, "model.weights=elsewhere/trained.pt", "model.path=elsewhere")
    assert params.load().model.weights == "elsewhere/trained.pt"


def test_weights_of_another_network_are_one_line_and_nothing_is_written():
    torch.save(nn.Linear(2, 2).state_dict(), "trained.pt")
    prepare("resnet20", (3, 8, 8), "model.width=0.25", "model.weights=trained.pt", "model.path=trained.pt")
    with pytest.raises(SystemExit, match=r"error: trained.pt holds weights of another network than the CifarResNet: it lacks "):
        runtime.main(train_baseline.train_baseline)
    assert not runtime.BASELINE.exists() and not runtime.METRICS.exists()


def test_a_share_is_of_what_a_network_that_was_pruned_before_has(capsys):
    """Its zeros stay, and the cut leaves a fifth of what is not zero, as the Bayesian training was led to."""
    Path("mine.py").write_text(PRUNED)
    prepare("mine:network", (30,), "prior.kind=log_uniform", "prior.target.nonzeros=0.2", "baseline.epochs=0", "bayesian.train.epochs=30")
    for stage in (train_baseline, train_bayesian, prune):
        runtime.main(getattr(stage, stage.__name__.rpartition(".")[2]))
    dense, twin = (tensorfile.read(path)[1] for path in (runtime.BASELINE, runtime.BAYESIAN))
    weights = [name for name in dense if name.endswith("weight")]
    before = sum(int(dense[name].count_nonzero()) for name in weights)
    assert 200 < before < 450 and all(torch.equal(dense[name] == 0, twin[name] == 0) for name in weights)
    assert 0.15 * before < figures("prune")["nonzeros_left"] <= 0.2 * before


def test_what_no_cut_can_take_stays_in_every_stage(capsys):
    Path("mine.py").write_text(SLICED)
    prepare("mine:network", (12,), "prior.kind=gate", "prior.target.macs=0.7", "bayesian.train.epochs=30")
    for stage in (train_baseline, train_bayesian, prune, controls, benchmark, sweep):
        runtime.main(getattr(stage, stage.__name__.rpartition(".")[2]))
    assert "stay as they are" in capsys.readouterr().out
    found = figures("prune")
    assert found["hidden_total"] == figures("sweep")["dense"]["hidden"] and found["macs_left"] <= 0.7 * found["macs_total"]
    assert found["hidden_left"] == figures("controls")["magnitude"]["hidden_left"] == figures("controls")["scratch"]["hidden_left"]
    small = sparsify.load(runtime.COMPACT, Architecture("mine:network", (12,), 3, 1.0).build())
    assert small.first.out_features == 10 < small.both.out_features < 16
