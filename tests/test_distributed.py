"""Two processes on the CPU against one with the same batches: dense and Bayesian, with and without noise, interrupted, and refused.

Every case is a function here; `pair` runs it in two processes of one group, and a test in its own."""

import copy
import dataclasses
import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from plain_settings import PRIOR, TRAIN
from torch import nn

from sparsify import capture, distributed
from sparsify.bayes.convert import bayesianize
from sparsify.bayes.objective import negative_elbo, update_priors
from sparsify.bayes.priors import KINDS
from sparsify.data import Split
from sparsify.losses import cross_entropy
from sparsify.settings import InputError
from sparsify.training import fit

EPOCHS, BATCH, STEPS = 2, 16, 10  # 20 steps in all
SETTINGS = dataclasses.replace(TRAIN, epochs=EPOCHS, batch_size=BATCH, lr=1e-2)
SGD = dataclasses.replace(SETTINGS, optimizer="sgd", lr=0.05)  # Adam divides the gradient of a bias before BatchNorm, which is 0, by itself


def _data(*shape: int) -> Split:
    generator = torch.Generator().manual_seed(1)
    return Split(torch.randn(STEPS * BATCH, *shape, generator=generator), torch.arange(STEPS * BATCH) % 3)


def _linear() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, 3))


def _convolutional() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8, momentum=None),
                         nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))


def _without_noise() -> pytest.MonkeyPatch:
    patch = pytest.MonkeyPatch()
    patch.setattr(torch, "randn", torch.zeros)
    patch.setattr(torch, "randn_like", torch.zeros_like)
    return patch


def dense():
    torch.manual_seed(0)
    model = _linear()
    return fit(model, _data(3, 2, 2), cross_entropy(model, SETTINGS), SETTINGS, dict, "dense"), model.state_dict()


def normalised():
    torch.manual_seed(0)
    model = _convolutional().double()
    train = _data(2, 4, 4)
    train = dataclasses.replace(train, inputs=train.inputs.double())
    return fit(model, train, cross_entropy(model, SGD), SGD, dict, "BatchNorm"), model.state_dict()


def bayesian(kind: str, noise: bool = False, **changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    torch.manual_seed(0)
    network, train = _linear(), _data(3, 2, 2)
    patch = pytest.MonkeyPatch() if noise else _without_noise()
    try:
        model = bayesianize(network, train[:2], dataclasses.replace(PRIOR, kind=kind))
        loss = negative_elbo(model, cross_entropy(model, settings), len(train.labels), 3.0, 0.0)
        return fit(model, train, loss, settings, dict, kind, after_step=lambda: update_priors(model)), model.state_dict()
    finally:
        patch.undo()


def drawn():
    """What each process was given to see of images that are nothing but noise, in the first epoch of two."""
    seen = []
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    inner = cross_entropy(model, SETTINGS)

    def loss(batch):
        seen.append((batch.images.clone(), batch.indices.clone()))
        return inner(batch)
    torch.manual_seed(0)
    train = _data(3, 2, 2)
    blank = dataclasses.replace(train, inputs=torch.zeros_like(train.inputs))
    fit(model, blank, loss, dataclasses.replace(SETTINGS, input_noise=1.0), dict, "drawn")
    return [torch.stack(column) for column in zip(*seen, strict=True)]


def interrupted(folder: Path):
    """Trains through, and again with an interruption; whether both end alike, and who has written."""
    ends = []
    for name, stop in (("through", False), ("again", True), ("again", False)):
        torch.manual_seed(0)
        model, rows = _linear(), iter([{}] * (1 if stop else EPOCHS))
        settings = dataclasses.replace(SETTINGS, input_noise=0.5)

        def evaluate(rows=rows):
            try:
                return next(rows)
            except StopIteration:
                raise KeyboardInterrupt from None
        try:
            curve = fit(model, _data(3, 2, 2), cross_entropy(model, settings), settings, evaluate, name, state=folder / f"{name}.pt")
            ends.append(([row["nll"] for row in curve], model.state_dict()))
        except KeyboardInterrupt:
            ends.append(None)
        dist.barrier()
    return ends


def refused(folder: Path):
    said = []
    own_state = folder / f"of-{dist.get_rank()}.pt"
    for batch_size, spoilt, state in ((15, False, None), (BATCH, True, None), (BATCH, False, own_state), (BATCH, False, own_state)):
        settings, model = dataclasses.replace(SETTINGS, batch_size=batch_size), nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
        inner, factor = cross_entropy(model, settings), math.nan if spoilt and dist.get_rank() == 1 else 1

        def loss(batch, inner=inner, factor=factor):
            return {"nll": factor * inner(batch)["nll"]}
        try:
            fit(model, _data(3, 2, 2), loss, settings, dict, "refused", state=state)
            said.append("")
        except InputError as error:
            said.append(str(error))
        dist.barrier()
    return said


def _process(rank: int, folder: Path, cases: dict) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    results = {name: case(*arguments, **more) for name, (case, arguments, more) in cases.items()}
    torch.save(results, folder / f"{rank}.pt")
    dist.destroy_process_group()


NOISY = {"epochs": 40, "lr": 1e-12}  # the parameters stay where they are: every step is one more draw of the same ELBO
CASES = {"dense": (dense, (), {}), "normalised": (normalised, (), {}), "drawn": (drawn, (), {}),
         **{kind: (bayesian, (kind,), {}) for kind in KINDS},
         **{f"noisy {kind}": (bayesian, (kind, True), NOISY) for kind in ("log_uniform", "gate")}}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """name of a case -> what the two processes came to"""
    folder = tmp_path_factory.mktemp("pair")
    cases = CASES | {"interrupted": (interrupted, (folder,), {}), "refused": (refused, (folder,), {})}
    torch.multiprocessing.spawn(_process, (folder, cases), nprocs=2)
    both = [torch.load(folder / f"{rank}.pt") for rank in range(2)]
    return lambda name: (both[0][name], both[1][name])


def alone(name):
    case, arguments, more = CASES[name]
    return case(*arguments, **more)


@pytest.mark.parametrize("name", ["dense", "normalised", *KINDS])
def test_two_processes_end_where_one_does_after_twenty_steps_without_noise(name, pair):
    (curve, state), (other_curve, other_state) = pair(name)
    expected_curve, expected = alone(name)
    assert len(curve) * STEPS == 20
    for key, tensor in expected.items():
        torch.testing.assert_close(state[key], tensor, rtol=1e-5, atol=1e-5)
        assert torch.equal(state[key], other_state[key]), key  # buffers too: EM and batch statistics
    for rows in (curve, other_curve):
        for row, wanted in zip(rows, expected_curve, strict=True):
            assert {**row, "seconds": 0} == pytest.approx({**wanted, "seconds": 0}, abs=2e-5)


def test_what_twenty_steps_change_is_far_more_than_that(pair):
    for name in ("dense", "normalised", *KINDS):
        curve = pair(name)[0][0]
        assert curve[0]["nll"] - curve[-1]["nll"] > 1e-3, name


@pytest.mark.parametrize("kind", ["log_uniform", "gate"])
def test_with_noise_the_elbo_agrees_within_its_standard_error(kind, pair):
    (curve, _), _ = pair(f"noisy {kind}")
    expected, _ = alone(f"noisy {kind}")
    ours, theirs = (torch.tensor([row["nll"] for row in rows], dtype=torch.float64) for rows in (curve, expected))
    error = ((ours.var() + theirs.var()) / len(ours)).sqrt()
    assert error > 0
    assert (ours.mean() - theirs.mean()).abs() < 3 * error
    assert curve[-1]["kl"] == pytest.approx(expected[-1]["kl"], rel=1e-5)  # once, not twice


def test_images_are_shared_out_and_noise_is_each_processes_own(pair):
    (images, indices), (other_images, other_indices) = pair("drawn")
    for epoch in range(EPOCHS):
        taken = torch.cat([indices[epoch * STEPS:][:STEPS], other_indices[epoch * STEPS:][:STEPS]]).flatten()
        assert torch.equal(taken.sort().values, torch.arange(STEPS * BATCH))
    draws = torch.cat([images.flatten(), other_images.flatten()])
    assert len(draws.unique()) > 0.99 * len(draws)  # nothing is drawn twice: by two processes, or in two epochs
    assert draws.std().item() == pytest.approx(1, abs=0.05)


def test_an_interrupted_training_of_two_goes_on_bit_for_bit(pair):
    for through, stopped, again in pair("interrupted"):
        assert stopped is None
        assert through[0] == again[0]
        assert all(torch.equal(tensor, again[1][key]) for key, tensor in through[1].items())


def test_what_would_hang_or_differ_is_refused_by_all(pair):
    for rank, (uneven, broken, first, second) in enumerate(pair("refused")):
        assert uneven == "a batch of 15 images cannot be shared out evenly to 2 processes; choose a batch_size that divides by that"
        assert broken.startswith("refused stopped: the term nll became nan at step 1;")
        assert first == ""
        assert second.partition(" in ")[0] == ("" if rank == 0 else f"process 0 found {EPOCHS}, process 1 0 epochs")


def test_without_a_group_nothing_changes():
    model = _convolutional()
    loss = cross_entropy(model, SGD)
    values = torch.arange(6).view(2, 3)
    assert distributed.averaged(model, loss) is loss
    assert distributed.share(values) is values and distributed.same(values) is values and distributed.mean(values) is values
    assert distributed.first() and distributed.count() == 1
    state = torch.get_rng_state()
    distributed.draw_apart(1, 1)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_model_is_as_it_was_when_a_step_of_several_is_over():
    model = _convolutional()
    before = copy.deepcopy(model)
    with pytest.raises(ZeroDivisionError), distributed._whole_batch_statistics(model):
        assert model[1].forward.func is distributed._normalised
        raise ZeroDivisionError
    assert "forward" not in vars(model[1]) and str(model) == str(before)


def test_steps_of_several_processes_are_not_captured_and_one_of_them_says_so(monkeypatch, capsys):
    monkeypatch.setattr(distributed, "active", lambda: True)
    for rank in range(2):
        monkeypatch.setattr(dist, "get_rank", lambda rank=rank: rank)
        capture._tell.cache_clear()
        assert capture.recorder_for(torch.device("cuda")) is None
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("Steps of several processes") and line.endswith("are not captured as a CUDA graph.")
