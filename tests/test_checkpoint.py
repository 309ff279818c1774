"""An interrupted training, taken up again, against one that ran through: the same bits."""

import pytest
import torch
from torch import nn

from sparsify.artifacts import read_tensors, write_tensors
from sparsify.bayes.convert import bayesianize
from sparsify.bayes.objective import negative_elbo, update_priors
from sparsify.checkpoint import Keeper, Results, seconds
from sparsify.data import Split
from sparsify.losses import cross_entropy
from sparsify.settings import InputError
from sparsify.training import fit

TRAIN = Split(torch.randn(40, 2, 6, 6, generator=torch.Generator().manual_seed(1)), torch.arange(40) % 3)


def network():
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))


def interrupted_at(epoch):
    """An `evaluate` that is interrupted in that epoch, once."""
    calls = []

    def evaluate():
        calls.append(None)
        if len(calls) == epoch:
            raise KeyboardInterrupt
        return {"drawn": torch.rand(()).item()}  # evaluation may draw too
    return evaluate


def trained(settings, evaluate, state=None, kind=None, prior_settings=None, **more):
    torch.manual_seed(3)
    model, after_step = network(), lambda: None
    if kind:
        model, after_step = bayesianize(model, TRAIN[:2], prior_settings(kind=kind)), lambda: update_priors(model)
    loss = cross_entropy(model, settings)
    if kind:
        loss = negative_elbo(model, loss, 40, 0.1, 2.0)
    curve = fit(model, TRAIN, loss, settings, evaluate, "test", after_step, state=state, **more)
    return [{key: value for key, value in row.items() if key != "seconds"} for row in curve], model.state_dict()


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("kind", [None, "mixture", "gate"])
@pytest.mark.parametrize("epoch", [1, 3])
def test_a_training_taken_up_again_equals_one_that_ran_through(tmp_path, train_settings, prior_settings, optimizer, kind, epoch):
    settings = train_settings(epochs=5, optimizer=optimizer, weight_decay=0.1, input_noise=0.2, shift=4, flip=True)
    state = tmp_path / "state.pt"
    with pytest.raises(KeyboardInterrupt):
        trained(settings, interrupted_at(epoch), state, kind, prior_settings)
    assert state.exists() == (epoch > 1)
    through = trained(settings, interrupted_at(None), None, kind, prior_settings)
    for _ in range(2):  # at last from the state of the last epoch, as after an interruption before the result was kept
        again = trained(settings, interrupted_at(None), state, kind, prior_settings)
        assert again[0] == through[0]
        assert again[1].keys() == through[1].keys() and all(torch.equal(again[1][key], through[1][key]) for key in again[1])


@pytest.mark.parametrize(("every_seconds", "seen"), [(0, [False, True, True, True]), (3600, [False] * 4)])
def test_the_state_is_written_when_its_time_has_come_and_at_an_interruption(tmp_path, train_settings, every_seconds, seen):
    state, there, evaluate = tmp_path / "state.pt", [], interrupted_at(4)

    def watching():
        there.append(state.exists())
        return evaluate()
    with pytest.raises(KeyboardInterrupt):
        trained(train_settings(epochs=5), watching, state, save_every_seconds=every_seconds)
    assert there == seen
    assert [row["epoch"] for row in read_tensors(state)["curve"]] == [1, 2, 3]


def test_what_is_kept_does_not_change_with_the_training(tmp_path):
    model, state = nn.Linear(2, 1), tmp_path / "state.pt"
    with Keeper(state, {"model": model}, 3600) as keeper:
        keeper.keep([])
        kept = model.weight.detach().clone()
        model.weight.data.zero_()
    assert torch.equal(read_tensors(state)["parts"]["model"]["weight"], kept)


def test_seconds_are_those_of_the_epochs_so_far(tmp_path):
    state = tmp_path / "state.pt"
    assert seconds(state) == 0
    with Keeper(state, {}, 60) as keeper:
        keeper.keep([{"epoch": 1, "seconds": 2.5}, {"epoch": 2, "seconds": 1.5}])
    assert seconds(state) == 4


def test_the_state_of_another_training_or_a_damaged_one_is_refused_by_name(tmp_path, train_settings, prior_settings):
    state, settings = tmp_path / "state.pt", train_settings(epochs=3)
    with pytest.raises(KeyboardInterrupt):
        trained(settings, interrupted_at(2), state)
    with pytest.raises(InputError, match=r"state\.pt is not the state of this training"):
        trained(settings, interrupted_at(None), state, "gate", prior_settings)
    content = read_tensors(state)
    write_tensors(state, content | {"curve": content["curve"][:-1]})
    with pytest.raises(InputError, match=r"state\.pt is not the state of this training \(0 epochs of"):
        trained(settings, interrupted_at(None), state)
    state.write_bytes(state.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"state\.pt"):
        trained(settings, interrupted_at(None), state)


@pytest.mark.parametrize("content", [
    {}, {"curve": 3}, {"curve": [{}]}, {"curve": [], "parts": {}, "random": {}},
    {"curve": [], "parts": {"model": 3, "optimizer": {}, "schedule": {}}, "random": {"cpu": 3, "cuda": []}}])
def test_a_file_that_holds_no_state_is_refused_by_name(tmp_path, train_settings, content):
    state = tmp_path / "state.pt"
    write_tensors(state, content)
    with pytest.raises(InputError, match=r"state\.pt is not the state of this training"):
        trained(train_settings(epochs=3), interrupted_at(None), state)


def test_what_was_measured_is_not_measured_again_after_an_interruption(tmp_path):
    path, asked = tmp_path / "rows.pt", []

    def measure(name):
        asked.append(name)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return {"accuracy": float(len(asked))}
    first, second = nn.Linear(2, 1), nn.Linear(2, 1)
    with pytest.raises(KeyboardInterrupt), Results(path) as results:
        for name, of in (("a", "a"), ("b", first), ("c", second)):
            results.get(of, lambda name=name: measure(name))
    again = Results(path)
    assert [again.get(of, lambda: 0) for of in ("a", first, second)] == [{"accuracy": 1.0}, {"accuracy": 2.0}, 0]
    assert again.seconds > 0
