"""The loop, its noise and its precision, against the definitions written out."""

import copy
import math

import pytest
import torch
from torch import nn

from sparsify import training
from sparsify.data import Split, moved
from sparsify.losses import answers, cross_entropy, distillation
from sparsify.settings import InputError
from sparsify.training import Batch, StepSettings, fit

IMAGES, LABELS = torch.randn(40, 1, 3, 3, generator=torch.Generator().manual_seed(1)), torch.arange(40) % 3
TRAIN, BATCH = Split(IMAGES, LABELS), Batch(IMAGES, IMAGES, LABELS, torch.arange(40), epochs_done=0.0)


def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(9, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))


def train(model, settings, loss=None, **more):
    return fit(model, TRAIN, loss or cross_entropy(model, settings), settings, more.pop("evaluate", dict), "test", **more)


def equal(state, other):
    return all(torch.equal(value, other[key]) for key, value in state.items())


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_same_seed_trains_bit_equal_networks(train_settings, optimizer):
    settings = train_settings(optimizer=optimizer, epochs=3, input_noise=0.1, input_dropout=0.2, shift=4, flip=True, label_smoothing=0.1)
    states, curves = [], []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        model = network()
        curves.append([{key: value for key, value in row.items() if key != "seconds"} for row in train(model, settings)])
        states.append(model.state_dict())
    assert equal(states[0], states[1]) and curves[0] == curves[1]
    assert not equal(states[0], states[2])


def test_training_lowers_the_loss_and_evaluates_in_evaluation(train_settings):
    model, settings = network(), train_settings(epochs=15, lr=0.05)
    separable = Split(IMAGES + 3 * LABELS[:, None, None, None], LABELS)
    curve = fit(model, separable, cross_entropy(model, settings), settings, lambda: {"mode": float(model.training)}, "test")
    assert [row["epoch"] for row in curve] == list(range(1, 16))
    assert all(row["mode"] == 0 for row in curve)
    assert curve[-1]["nll"] < 0.5 * curve[0]["nll"]


def test_no_epochs_leave_the_network_as_it_was(train_settings):
    model = network()
    before = copy.deepcopy(model.state_dict())
    assert train(model, train_settings(epochs=0), evaluate=lambda: {"accuracy": 7.0}) == [{"epoch": 0, "accuracy": 7.0, "seconds": 0.0}]
    assert equal(model.state_dict(), before)


def test_training_for_epochs_equals_training_for_their_steps(train_settings):
    settings, states = train_settings(epochs=3), []
    for total_steps in (None, 15):  # 5 batches of 8 are an epoch
        torch.manual_seed(5)
        model = network()
        train(model, settings, total_steps=total_steps)
        states.append(model.state_dict())
    assert equal(*states)


@pytest.mark.parametrize("moving", [{"shift": 1}, {"flip": True}])
def test_rows_of_numbers_cannot_be_moved_about(train_settings, moving):
    rows, model = Split(torch.randn(40, 9), LABELS), nn.Linear(9, 3)
    with pytest.raises(InputError, match=r"shift and flip move images about, and these inputs have shape \(9,\)"):
        fit(model, rows, cross_entropy(model, train_settings()), train_settings(**moving), dict, "test")
    settings = train_settings(**moving, epochs=20)
    with pytest.raises(InputError, match=r"shift and flip move images about, and these inputs have shape \(9,\)"):
        fit(model, rows, distillation(model, answers(model, rows, settings), settings, 0.5, 2.0), settings, dict, "test")
    assert len(fit(model, rows, cross_entropy(model, train_settings()), train_settings(), dict, "test")) == 2


def test_a_network_with_nothing_to_train_is_refused(train_settings):
    model = network().requires_grad_(False)
    with pytest.raises(InputError, match="test: the Sequential has no parameters that can be trained"):
        train(model, train_settings())


def test_settings_that_do_not_say_how_long_need_total_steps():
    settings = StepSettings(batch_size=8)
    with pytest.raises(InputError, match="total_steps"):
        train(network(), settings)
    assert len(train(network(), settings, total_steps=1)) == 1


@pytest.mark.parametrize("total_steps", [0, 1, 2, 3, 4, 5, 7, 15])
def test_training_for_steps_takes_that_many(train_settings, total_steps):
    model, steps = network(), []
    curve = train(model, train_settings(epochs=99), total_steps=total_steps, after_step=lambda: steps.append(1))
    assert len(steps) == total_steps
    assert curve[-1]["epoch"] == math.ceil(total_steps / 5)


def test_every_epoch_sees_different_images_in_a_new_order_and_the_progress(train_settings):
    model, seen = network(), []

    def loss(batch):
        seen.append(batch)
        assert model.training
        return {"nll": model(batch.images).sum()}
    train(model, train_settings(epochs=2, batch_size=10), loss)
    assert [batch.epochs_done for batch in seen] == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75]
    orders = []
    for epoch in (seen[:4], seen[4:]):
        orders.append([IMAGES.eq(image).flatten(1).all(1).nonzero().item() for batch in epoch for image in batch.images])
        assert torch.equal(torch.cat([batch.labels for batch in epoch]), LABELS[orders[-1]])
        assert torch.cat([batch.indices for batch in epoch]).tolist() == orders[-1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(40)) and orders[0] != orders[1]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_broken_loss_names_its_step_and_term(train_settings, value):
    model, calls = network(), []

    def loss(batch):
        calls.append(1)
        return {"nll": model(batch.images).mean(), "kl": torch.tensor(value if len(calls) == 8 else 1.0)}
    with pytest.raises(InputError, match=f"test stopped: the term kl became {value} at step 8"):
        train(model, train_settings(epochs=5), loss)
    assert len(calls) == 8  # on a CPU; a GPU would wait for the answer


@pytest.mark.parametrize(("value", "words"), [(1e38, r"the largest number stands in 4\.bias, 1e\+38"),
                                              (math.nan, r"1 of 6 tensors are not finite, 4\.bias the first")])
def test_a_training_that_breaks_names_the_layer(train_settings, value, words):
    model = network()

    def blown(batch):
        with torch.no_grad():
            model[4].bias.fill_(value)
        return {"nll": cross_entropy(model, train_settings())(batch)["nll"] * 1e38 * 1e38}
    with pytest.raises(InputError, match=words):
        train(model, train_settings(epochs=1), blown)


def test_a_batch_of_one_under_batch_norm_is_refused_and_none_is_left_over(train_settings):
    for batch_size in (1, len(TRAIN) - 1):
        model, settings = network(), train_settings(epochs=1, batch_size=batch_size)
        if batch_size == 1:
            with pytest.raises(InputError, match="BatchNorm cannot take the statistics of a batch of one example; raise the batch_size"):
                train(model, settings, cross_entropy(model, settings))
        else:  # what is left over, one example, is left out of the epoch
            assert math.isfinite(train(model, settings, cross_entropy(model, settings))[0]["nll"])


def test_a_curve_holds_the_mean_of_every_term(train_settings):
    model, terms = network(), []

    def loss(batch):
        terms.append({"nll": model(batch.images).square().mean(), "kl": torch.rand(())})
        return terms[-1]
    for row, start in zip(train(model, train_settings(epochs=2), loss), (0, 5), strict=True):
        for key in ("nll", "kl"):
            assert row[key] == pytest.approx(sum(term[key].item() for term in terms[start:start + 5]) / 5, abs=1e-5)


def test_gradients_do_not_pile_up(train_settings):
    model, gradients = network(), []
    train(model, train_settings(), lambda _: {"nll": 3 * model[1].weight.sum()},
          after_step=lambda: gradients.append(model[1].weight.grad.clone()))
    assert len(gradients) == 10 and all(gradient.eq(3).all() for gradient in gradients)


def test_after_step_has_the_last_word(train_settings):
    model = network()

    def after_step():
        model[1].weight.data[0] = 0
    train(model, train_settings(), after_step=after_step)
    assert not model[1].weight[0].any() and model[1].weight[1].all()


def test_input_noise_and_dropout_have_their_size(train_settings):
    model, seen = network(), []
    images = torch.ones(4000, 1, 3, 3)

    def loss(batch):
        seen.append(batch.images)
        return {"nll": model(batch.images).mean()}
    for perturbation in ({"input_noise": 0.5}, {"input_dropout": 0.25}):
        settings = train_settings(epochs=1, batch_size=4000, **perturbation)
        fit(model, Split(images, torch.zeros(4000, dtype=torch.long)), loss, settings, dict, "test")
    noise = seen[0] - 1
    assert abs(noise.mean()) < 4 * 0.5 / 36_000**0.5 and abs(noise.std() - 0.5) < 4 * 0.5 / 72_000**0.5
    dropped = (seen[1] == 0).double().mean()
    assert abs(dropped - 0.25) < 4 * (0.25 * 0.75 / 36_000) ** 0.5 and seen[1].max() == pytest.approx(1 / 0.75)


def test_a_batch_has_its_images_moved_and_noisy_and_without_the_noise(train_settings):
    train, seen, model = Split(torch.randn(60, 1, 3, 3), torch.arange(60) % 2), [], nn.Sequential(nn.Flatten(), nn.Linear(9, 2))

    def loss(batch):
        seen.append(batch)
        return cross_entropy(model, settings)(batch)
    settings = train_settings(epochs=1, batch_size=20, shift=1, flip=True, input_noise=0.1)
    fit(model, train, loss, settings, dict, "test")
    for batch in seen:
        assert torch.equal(batch.clean, moved(train[batch.indices], batch.moved, 1))
        assert 0.05 < (batch.images - batch.clean).std() < 0.15
    numbers = torch.cat([batch.moved for batch in seen])
    assert len(numbers.unique()) > 9 and numbers.min() >= 0 and numbers.max() < 18  # 60 draws of 18


@pytest.mark.parametrize(("hardware", "precision", "dtype"), [
    (torch.bfloat16, "bfloat16", torch.bfloat16), (torch.bfloat16, "float32", torch.float32), (torch.float32, "bfloat16", torch.float32)])
def test_products_are_in_bfloat16_where_asked_and_where_the_hardware_has_it(train_settings, monkeypatch, hardware, precision, dtype):
    monkeypatch.setattr(training, "fast_dtype", lambda _: hardware)
    model, seen = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(27, 2)), set()
    model[2].register_forward_hook(lambda _, __, output: seen.add((model.training, output.dtype)))
    train, settings = Split(torch.randn(16, 2, 4, 4), torch.arange(16) % 2), train_settings(precision=precision)
    curve = fit(model, train, cross_entropy(model, settings), settings, lambda: {"loss": model(train[:]).sum().item()}, "test")
    assert seen == {(True, dtype), (False, torch.float32)}
    assert all(parameter.dtype == torch.float32 and parameter.is_contiguous() for parameter in model.parameters())
    assert curve[-1]["nll"] > 0


@pytest.mark.parametrize("kind", ["cross entropy", "distillation"])
def test_bfloat16_trains_nearly_as_float32(train_settings, monkeypatch, kind):
    monkeypatch.setattr(training, "fast_dtype", lambda _: torch.bfloat16)
    start, results = nn.Sequential(nn.Flatten(), nn.Linear(9, 3)), []
    teacher = answers(nn.Sequential(nn.Flatten(), nn.Linear(9, 3)), TRAIN, train_settings())
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(1)
        model, settings = copy.deepcopy(start), train_settings(precision=precision, epochs=5)
        loss = cross_entropy(model, settings) if kind == "cross entropy" else distillation(model, teacher, settings, 0.9, 2.0)
        train(model, settings, loss)
        results.append(torch.cat([(parameter - before).flatten() for parameter, before in
                                  zip(model.parameters(), start.parameters(), strict=True)]))
    assert 0 < (results[0] - results[1]).norm() < 0.1 * results[0].norm()
