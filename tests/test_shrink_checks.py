"""What `shrink` refuses in one line before it trains, what it takes wherever it is called, and what a kept state knows again."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune
from torch.utils.data import DataLoader, TensorDataset

import sparsify
from sparsify import RecoverySettings, TrainSettings, VariationalSettings, training
from sparsify.data import loaded
from sparsify.shrink_state import known

TRAIN = TrainSettings(epochs=1, lr=0.01)
X = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
Y = X[:, :2].argmax(1)
SPOILT = torch.where(torch.arange(64) == 40, -100, Y)
VALUES = {"targets": X[:, :2], "loss": F.mse_loss}


class Two(nn.Module):
    """Answers with two tensors."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 2)

    def forward(self, inputs):
        return self.layer(inputs), inputs


def network(activation=nn.ReLU):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), activation(), nn.Linear(8, 2))


def broken():
    model = network()
    model[0].weight.data[0, 0] = float("nan")
    return model


def pruned():
    model = network()
    prune.l1_unstructured(model[0], "weight", 0.5)
    return model


def shrink(model=None, inputs=X, targets=Y, **options):
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=16)
    usual = {"target": {"units": 0.5}, "bayesian": VariationalSettings(train=TRAIN), "recovery": RecoverySettings(train=TRAIN)}
    return sparsify.shrink(model or network(), loader, loader, **usual | options)


def closeness(outputs, targets):
    return -F.l1_loss(outputs, targets)


def unreduced(outputs, targets):
    return (outputs - targets).square()


WRONG = {
    "pruned": ({"model": pruned()}, "0.weight is computed from parameters, so that the network cannot be copied"),
    "teacher pruned": ({"teacher": pruned()}, "0.weight is computed from parameters"),
    "frozen": ({"model": network().requires_grad_(False)}, "the Sequential has no parameters that can be trained"),
    "nan": ({"model": broken()}, "the model answers about the training inputs with NaN"),
    "two outputs": ({"model": Two(), **VALUES}, "the model answers with a tuple; it has to answer with one tensor"),
    "width": ({"inputs": X[:, :5]}, "the model cannot answer about the training inputs (RuntimeError: "),
    "dtype": ({"inputs": X.double()}, "the model cannot answer about the training inputs (RuntimeError: "),
    "below": ({"targets": Y - 1}, "there is a target -1, and the network puts out 2 logits; classes count from 0"),
    "ignored": ({"targets": SPOILT}, "there is a target -100, and"),
    "loss": ({"loss": "mse"}, "loss is 'mse'; it has to be a function of outputs and targets"),
    "loss of a float": (VALUES | {"loss": lambda *_: 1.0}, "the loss gives 1.0; it has to give the mean over the batch, a tensor ()"),
    "loss unreduced": (VALUES | {"loss": unreduced}, "the loss gives tensor("),
    "loss without gradient": (VALUES | {"loss": lambda *_: torch.ones(())}, "the loss gives tensor(1.); it has"),
    "loss fails": (VALUES | {"loss": lambda outputs, _: outputs[:, 9]}, "the loss fails (IndexError: index 9 is out of bounds"),
    "metric": ({"metric": "r2"}, "metric is 'r2'; it has to be a function of outputs and targets"),
    "metric of None": (VALUES | {"metric": lambda *_: None}, "the <lambda> cannot be taken of all of validation (TypeError: "),
    "metric of many": (VALUES | {"metric": unreduced}, "the unreduced cannot be taken of all of validation ("),
    "bayesian": ({"bayesian": TRAIN}, "bayesian is TrainSettings("),
    "recovery": ({"recovery": 3}, "recovery is 3; it has to be sparsify.RecoverySettings"),
    "protect": ({"protect": None}, "protect is None; it has to be a list of names"),
    "protect a text": ({"protect": "0"}, "protect is '0'; it has to be a list of names"),
    "device": ({"device": "foo"}, "device is 'foo', which cannot be used (RuntimeError: "),
    "device without numbers": ({"device": "meta"}, "device is 'meta', which cannot be used ("),
    "device that is not there": ({"device": 63}, "device is 63, which cannot be used ("),
    "state": ({"state": 3}, "state is 3; it has to be a folder, which need not exist"),
    "state empty": ({"state": ""}, "state is ''; it has to be a folder"),
    "state nowhere": ({"state": "/dev/null/state"}, "state is '/dev/null/state', where nothing can be written (NotADirectoryError: "),
    "name": ({"target": None, "max_drop": -1}, "max_drop is -1; it has to be"),
}


@pytest.mark.parametrize("case", WRONG)
def test_is_refused_in_one_line_before_anything_is_trained(case, monkeypatch):
    options, said = WRONG[case]
    monkeypatch.setattr(training, "descend", lambda *_: pytest.fail("it trained"))
    with pytest.raises(sparsify.InputError) as caught:
        shrink(**options)
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


def test_examples_that_only_validation_has_are_looked_at_too(monkeypatch):
    monkeypatch.setattr(training, "descend", lambda *_: pytest.fail("it trained"))
    train, validation = (DataLoader(TensorDataset(inputs, Y), batch_size=16) for inputs in (X, X[:, :5]))
    with pytest.raises(sparsify.InputError, match="the model cannot answer about the validation inputs"):
        sparsify.shrink(network(), train, validation, target={"units": 0.5})


def test_a_gpu_that_is_full_is_no_mistake_of_the_users():
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(torch.OutOfMemoryError):
        shrink(metric=full)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8, torch.bool])
@pytest.mark.parametrize("collate", [None, lambda pairs: torch.utils.data.default_collate(pairs)], ids=["tensors", "loader"])
def test_classes_may_be_whole_numbers_of_any_dtype(dtype, collate):
    loader = DataLoader(TensorDataset(X, Y.to(dtype)), batch_size=16, collate_fn=collate)
    for classes, expected in ((True, torch.int64), (False, dtype)):
        (_, targets), *_ = loaded(loader, "cpu", "loader", classes)[0]
        assert targets.dtype == expected and torch.equal(targets.long(), Y[:len(targets)])


def test_small_whole_numbers_give_the_same_network():
    assert_alike(shrink()[0], shrink(targets=Y.to(torch.int16))[0])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_trains_where_gradients_are_off(mode):
    expected = shrink()[0]
    with mode():
        small = shrink()[0]
    assert_alike(expected, small)
    assert not any(each.is_inference() for each in small.parameters())


def assert_alike(one, other):
    for first, second in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(first, second)


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    folder = tmp_path_factory.mktemp("state")
    shrink(**VALUES, metric=closeness, state=folder)
    return folder


@pytest.mark.parametrize(("options", "differs"), [
    ({"loss": F.l1_loss}, "loss"), ({"inputs": X.flip(0)}, "data"), ({"targets": X[:, 1:3]}, "data"),
    ({"metric": lambda outputs, targets: -F.mse_loss(outputs, targets)}, "metric"), ({"model": network(nn.Tanh)}, "model")])
def test_another_call_with_the_same_names_and_shapes_is_refused(state, options, differs):
    with pytest.raises(sparsify.InputError, match=f"which is of another call: {differs} differ;"):
        shrink(**{**VALUES, "metric": closeness, "state": state, **options})


def scaled(factor):
    return lambda outputs, targets: factor * F.mse_loss(outputs, targets)


class Weighing:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, outputs, targets):
        return self.factor * F.mse_loss(outputs, targets)

    def halved(self, outputs, targets):
        return self(outputs, targets) / 2


LOSSES = {  # no two are the same
    "plain": lambda: F.mse_loss, "other": lambda: F.l1_loss, "built in": lambda: torch._C._nn.mse_loss, "closure": lambda: scaled(1),
    "another closure": lambda: scaled(2), "object": lambda: Weighing(1), "another object": lambda: Weighing(2),
    "method": lambda: Weighing(1).halved, "another method": lambda: Weighing(2).halved, "module": nn.HuberLoss,
    "another module": lambda: nn.HuberLoss(delta=2), "weights": lambda: nn.CrossEntropyLoss(torch.ones(2)),
    "other weights": lambda: nn.CrossEntropyLoss(torch.arange(2.0)), "partial": lambda: partial(F.huber_loss, delta=1),
    "another partial": lambda: partial(F.huber_loss, delta=2), "name": lambda: lambda o, t: F.mse_loss(o, t),
    "another name": lambda: lambda o, t: F.l1_loss(o, t), "inner": lambda: lambda o, t: sum(2 * each for each in o - t),
    "another inner": lambda: lambda o, t: sum(3 * each for each in o - t), "none": lambda: None}


def test_a_loss_is_known_again_in_another_process():
    here = {name: known(make()) for name, make in LOSSES.items()}
    assert len(set(here.values())) == len(LOSSES)
    code = f"from {__name__} import LOSSES, known; print({{name: known(make()) for name, make in LOSSES.items()}})"
    tests = Path(__file__).parent
    path = os.pathsep.join([str(tests), str(tests.parent)])
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(here)
