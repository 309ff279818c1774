"""Captured training against eager training: on a CPU with operations that are written down and done again, on a GPU with its graphs."""

import copy
import math

import pytest
import torch
from torch import nn

from sparsify import training
from sparsify.bayes.convert import bayesianize, noise_parameters
from sparsify.bayes.objective import negative_elbo, update_priors
from sparsify.capture import WARM_UP
from sparsify.compress.zeros import Zeros
from sparsify.data import Scaling, Split
from sparsify.losses import answers, cross_entropy, distillation
from sparsify.settings import InputError
from sparsify.training import fit

KINDS = [None, "log_uniform", "gaussian", "mixture", "ard", "gate"]
N = 40  # in batches of 8: 5 steps an epoch


def data(device):
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (N, 2, 6, 6), generator=generator, dtype=torch.uint8)
    scaling = Scaling(torch.tensor([0.5, 0.4]), torch.tensor([0.29, 0.3]), 255.0)
    return Split(images.to(device), (torch.arange(N) % 3).to(device), scaling.to(device))


def network(device):
    generator = torch.Generator().manual_seed(2)
    model = nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
                          nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.empty(parameter.shape).normal_(std=parameter[0].numel() ** -0.5, generator=generator))
    return model.to(device)


def trained(device, settings, captured, kind=None, prior=None, make_loss=cross_entropy, model=None, evaluate=dict, **more):
    """The curve without its seconds, and the weights and buffers."""
    torch.manual_seed(3)
    model, after_step = model or network(device), more.pop("after_step", lambda: None)
    if kind:
        model = bayesianize(model.cpu(), data("cpu")[:2], prior).to(device)
        after_step = lambda: update_priors(model)  # noqa: E731
        more["lr_factors"] = dict.fromkeys(noise_parameters(model), 3.0)
    loss = make_loss(model, settings)
    if kind:
        loss = negative_elbo(model, loss, N, 0.3, 2.5)
    curve = fit(model, data(device), loss, settings, evaluate, "test", after_step, captured=captured, **more)
    return [{key: value for key, value in row.items() if key != "seconds"} for row in curve], model.state_dict()


def assert_alike(results, others, tolerance=1e-5):
    (curve, state), (other_curve, other_state) = results, others
    gaps = {key: (value.double() - other_state[key].double()).abs().max().item() for key, value in state.items()}
    assert max(gaps.values()) <= tolerance, f"largest gaps of weights: {gaps}\n{curve}\n{other_curve}"
    assert len(curve) == len(other_curve)
    for row, other in zip(curve, other_curve, strict=True):
        assert row == pytest.approx(other, abs=max(2e-5, 10 * tolerance)), f"{curve}\n{other_curve}"


def assert_captured_is_eager(device, settings, tolerance=1e-5, **more):
    seen = []

    def counting(make_loss):
        def make(model, settings):
            loss = make_loss(model, settings)

            def count(batch):
                seen.append(batch.epochs_done)
                return loss(batch)
            return count
        return make
    make_loss = more.pop("make_loss", cross_entropy)
    captured = trained(device, settings, True, make_loss=counting(make_loss), **copy.deepcopy(more))
    assert len(seen) == WARM_UP + 1, "the loss is asked at the eager steps and at the capture"
    assert_alike(captured, trained(device, settings, False, make_loss=make_loss, **copy.deepcopy(more)), tolerance)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("kind", KINDS)
def test_captured_equals_eager_without_noise(cpu_or_cuda, silence, train_settings, prior_settings, kind, optimizer):
    settings = train_settings(epochs=4, optimizer=optimizer, weight_decay=0.1)
    prior = prior_settings(kind=kind) if kind else None
    assert_captured_is_eager(cpu_or_cuda, settings, kind=kind, prior=prior)


def test_one_indicator_a_neuron_is_captured_too(cpu_or_cuda, silence, train_settings, prior_settings):
    prior = prior_settings(kind="mixture", indicator="neuron")
    assert_captured_is_eager(cpu_or_cuda, train_settings(epochs=4), kind="mixture", prior=prior)


@pytest.mark.parametrize("kind", KINDS)
def test_captured_draws_are_those_of_eager_steps(cpu_or_cuda, train_settings, prior_settings, kind):
    settings = train_settings(epochs=4, optimizer="sgd", input_noise=0.3, input_dropout=0.2, shift=4, flip=True)
    assert_captured_is_eager(cpu_or_cuda, settings, kind=kind, prior=prior_settings(kind=kind) if kind else None, tolerance=1e-4)


@pytest.mark.parametrize("kind", [None, "log_uniform", "gate"])
def test_mixed_precision_is_captured(cpu_or_cuda, silence, monkeypatch, train_settings, prior_settings, kind):
    monkeypatch.setattr(training, "fast_dtype", lambda _: torch.bfloat16)
    settings = train_settings(epochs=4, optimizer="sgd", precision="bfloat16")
    assert_captured_is_eager(cpu_or_cuda, settings, kind=kind, prior=prior_settings(kind=kind) if kind else None, tolerance=1e-3)


@pytest.mark.parametrize(("shift", "regrow"), [(2, 0.0), (0, 0.0), (0, 0.5)])
def test_a_teacher_and_zeros_held_or_moved_are_captured(cpu_or_cuda, train_settings, shift, regrow):
    train, model = data(cpu_or_cuda), network(cpu_or_cuda)
    with torch.no_grad():
        model[4].weight[3:6, ::2] = 0
        model[4].weight[:3] = 0
    settings, results = train_settings(epochs=4, optimizer="sgd", shift=shift, label_smoothing=0.1), []
    start, before = copy.deepcopy(model.state_dict()), model[4].weight != 0
    for captured in (True, False):
        model.load_state_dict(start)
        teacher, zeros = answers(network(cpu_or_cuda), train, settings), Zeros(model, regrow)
        results.append(copy.deepcopy(trained(cpu_or_cuda, settings, captured, model=model, after_step=zeros.hold, after_epoch=zeros.move,
                                             make_loss=lambda model, s, teacher=teacher: distillation(model, teacher, s, 0.5, 2.0))))
        after = model[4].weight != 0
        assert after.sum() == before.sum() and torch.equal(after, before) == (regrow == 0)
    assert_alike(*results)


@pytest.mark.parametrize("total_steps", [1, 2, 3, 4, 5, 7, 13])
def test_the_last_epoch_may_be_short(cpu_or_cuda, silence, train_settings, total_steps):
    settings = train_settings(optimizer="sgd")
    captured = trained(cpu_or_cuda, settings, True, total_steps=total_steps)
    assert len(captured[0]) == math.ceil(total_steps / 5)
    assert_alike(captured, trained(cpu_or_cuda, settings, False, total_steps=total_steps))


def test_every_step_has_its_own_batch_and_progress(cpu_or_cuda, train_settings):
    def make_loss(model, settings):
        return lambda batch: {"nll": 0 * model(batch.images).mean(), "done": batch.epochs_done + torch.zeros((), device=cpu_or_cuda),
                              "indices": batch.indices.float().mean(), "labels": batch.labels.float().mean()}
    curve, _ = trained(cpu_or_cuda, train_settings(epochs=3), True, make_loss=make_loss)
    for epoch, row in enumerate(curve):
        assert row["done"] == pytest.approx(epoch + 0.4)
        assert row["indices"] == pytest.approx((N - 1) / 2)  # each image once an epoch
        assert row["labels"] == pytest.approx(data("cpu").labels.float().mean().item(), abs=1e-5)


def interrupted_at(epoch):
    calls = []

    def evaluate():
        calls.append(None)
        if len(calls) == epoch:
            raise KeyboardInterrupt
        return {"drawn": torch.rand((), device="cpu").item()}
    return evaluate


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("kind", [None, "mixture", "gate"])
@pytest.mark.parametrize("first", [True, False], ids=["captured", "eager"])
def test_an_interrupted_training_is_taken_up_captured(cpu_or_cuda, silence, tmp_path, train_settings, prior_settings, kind, optimizer,
                                                      first):
    settings, state = train_settings(epochs=5, optimizer=optimizer, weight_decay=0.1), tmp_path / "state.pt"
    what = {"kind": kind, "prior": prior_settings(kind=kind) if kind else None}
    with pytest.raises(KeyboardInterrupt):
        trained(cpu_or_cuda, settings, first, evaluate=interrupted_at(3), state=state, **what)
    again = trained(cpu_or_cuda, settings, True, evaluate=interrupted_at(None), state=state, **what)
    assert_alike(again, trained(cpu_or_cuda, settings, True, evaluate=interrupted_at(None), **what))


def test_a_term_that_is_not_finite_is_named_with_its_step(cpu_or_cuda, train_settings):
    def make_loss(model, settings):
        return lambda batch: {"nll": model(batch.images).square().mean(),
                              "kl": torch.where(batch.epochs_done > 1.3, math.nan, 0.0)}  # from step 8 on: 1.4 epochs are done before it
    with pytest.raises(InputError, match="test stopped: the term kl became nan at step 8"):
        trained(cpu_or_cuda, train_settings(epochs=5), True, make_loss=make_loss)
