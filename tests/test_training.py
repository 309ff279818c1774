"""The loop, its losses and its augmentation, against the definitions written out."""

import copy
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, kl_divergence

from sparsify.bayes.convert import bayesianize
from sparsify.data import Split, crop_and_flip
from sparsify.settings import InputError
from sparsify.training import cross_entropy, descend, distillation, fit, make_optimizer

IMAGES, LABELS = torch.randn(40, 1, 3, 3, generator=torch.Generator().manual_seed(1)), torch.arange(40) % 3
TRAIN = Split(IMAGES, LABELS)


def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(9, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))


def train(model, settings, loss=None, **more):
    return fit(model, TRAIN, loss or cross_entropy(model, settings), settings, more.pop("evaluate", dict), "test", **more)


def equal(state, other):
    return all(torch.equal(value, other[key]) for key, value in state.items())


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_same_seed_trains_bit_equal_networks(train_settings, optimizer):
    settings = train_settings(optimizer=optimizer, epochs=3, input_noise=0.1, input_dropout=0.2, augment=True, label_smoothing=0.1)
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


@pytest.mark.parametrize("total_steps", [0, 1, 2, 3, 4, 5, 7, 15])
def test_training_for_steps_takes_that_many(train_settings, total_steps):
    model, steps = network(), []
    curve = train(model, train_settings(epochs=99), total_steps=total_steps, after_step=lambda: steps.append(1))
    assert len(steps) == total_steps
    assert curve[-1]["epoch"] == math.ceil(total_steps / 5)


def test_every_epoch_sees_different_images_in_a_new_order_and_the_progress(train_settings):
    model, seen = network(), []

    def loss(images, labels, epochs_done):
        seen.append((images, labels, epochs_done))
        assert model.training
        return {"nll": model(images).sum()}
    train(model, train_settings(epochs=2, batch_size=10), loss)
    assert [progress for *_, progress in seen] == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75]
    orders = []
    for epoch in (seen[:4], seen[4:]):
        orders.append([IMAGES.eq(image).flatten(1).all(1).nonzero().item() for images, *_ in epoch for image in images])
        assert torch.equal(torch.cat([labels for _, labels, _ in epoch]), LABELS[orders[-1]])
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(40)) and orders[0] != orders[1]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_broken_loss_names_its_step_and_term(train_settings, value):
    model, calls = network(), []

    def loss(images, labels, _):
        calls.append(1)
        return {"nll": model(images).mean(), "kl": torch.tensor(value if len(calls) == 8 else 1.0)}
    with pytest.raises(InputError, match=f"test stopped: the term kl became {value} at step 8"):
        train(model, train_settings(epochs=5), loss)
    assert len(calls) == 10  # the end of the second epoch of 5 steps


def test_a_curve_holds_the_mean_of_every_term(train_settings):
    model, terms = network(), []

    def loss(images, labels, _):
        terms.append({"nll": model(images).square().mean(), "kl": torch.rand(())})
        return terms[-1]
    for row, start in zip(train(model, train_settings(epochs=2), loss), (0, 5), strict=True):
        for key in ("nll", "kl"):
            assert row[key] == pytest.approx(sum(term[key].item() for term in terms[start:start + 5]) / 5, abs=1e-5)


def test_gradients_do_not_pile_up(train_settings):
    model, gradients = network(), []
    train(model, train_settings(), lambda *_: {"nll": 3 * model[1].weight.sum()},
          after_step=lambda: gradients.append(model[1].weight.grad.clone()))
    assert len(gradients) == 10 and all(gradient.eq(3).all() for gradient in gradients)


def test_after_step_has_the_last_word(train_settings):
    model = network()

    def after_step():
        model[1].weight.data[0] = 0
    train(model, train_settings(), after_step=after_step)
    assert not model[1].weight[0].any() and model[1].weight[1].all()


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_weight_decay_shrinks_weights_alone(train_settings, prior_settings, optimizer):
    model = bayesianize(network(), prior_settings(kind="gaussian"), True)  # with noise on the first layer
    with torch.no_grad():
        model[1].bias.fill_(1)
    before = copy.deepcopy(model)
    train(model, train_settings(optimizer=optimizer, weight_decay=0.5),
          lambda images, *_: {"nll": sum(0 * parameter.sum() for parameter in model.parameters())})
    weights = (model[1].weight, model[4].weight)
    for parameter, old in zip(model.parameters(), before.parameters(), strict=True):
        if any(parameter is weight for weight in weights):
            assert (parameter.abs() < old.abs()).all() and (parameter.sign() == old.sign()).all()
        else:
            assert torch.equal(parameter, old)


def test_input_noise_and_dropout_have_their_size(train_settings):
    model, seen = network(), []
    images = torch.ones(4000, 1, 3, 3)

    def loss(batch, *_):
        seen.append(batch)
        return {"nll": model(batch).mean()}
    for perturbation in ({"input_noise": 0.5}, {"input_dropout": 0.25}):
        settings = train_settings(epochs=1, batch_size=4000, **perturbation)
        fit(model, Split(images, torch.zeros(4000, dtype=torch.long)), loss, settings, dict, "test")
    noise = seen[0] - 1
    assert abs(noise.mean()) < 4 * 0.5 / 36_000**0.5 and abs(noise.std() - 0.5) < 4 * 0.5 / 72_000**0.5
    dropped = (seen[1] == 0).double().mean()
    assert abs(dropped - 0.25) < 4 * (0.25 * 0.75 / 36_000) ** 0.5 and seen[1].max() == pytest.approx(1 / 0.75)


def test_crop_and_flip_only_shifts_and_mirrors():
    """Against a list of everything that it may return; over 2000 draws each is returned."""
    image = torch.arange(1.0, 25).reshape(2, 3, 4)  # every pixel is unique
    padded = torch.zeros(2, 7, 8)
    padded[:, 2:5, 2:6] = image
    allowed = {(row, column, flip): (crop.flip(2) if flip else crop) for row in range(5) for column in range(5) for flip in (False, True)
               for crop in [padded[:, row:row + 3, column:column + 4]]}
    names = list(allowed)
    same = (crop_and_flip(image.expand(2000, 2, 3, 4), padding=2)[:, None] == torch.stack(list(allowed.values()))).flatten(2).all(2)
    assert same.any(1).all() and {names[place] for place in same.int().argmax(1).tolist()} == set(names)


@pytest.fixture
def pair():
    student, teacher = network().eval(), network().eval()
    teacher[2].running_mean.normal_()
    return student, teacher


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_without_a_share_distillation_is_cross_entropy(pair, train_settings, smoothing):
    terms = distillation(*pair, train_settings(label_smoothing=smoothing), 0.0, 3.0)(IMAGES, LABELS, 0.0)
    logp = pair[0](IMAGES).log_softmax(1)
    expected = -((1 - smoothing) * logp[range(40), LABELS] + smoothing * logp.mean(1)).mean()
    torch.testing.assert_close(sum(terms.values()), expected)
    torch.testing.assert_close(cross_entropy(pair[0], train_settings(label_smoothing=smoothing))(IMAGES, LABELS, 0.0)["nll"], expected)


@pytest.mark.parametrize(("share", "temperature"), [(0.3, 1.0), (0.9, 4.0)])
def test_the_soft_part_is_the_kl_from_the_teachers_answers(pair, train_settings, share, temperature):
    terms = distillation(*pair, train_settings(), share, temperature)(IMAGES, LABELS, 0.0)
    student, teacher = (Categorical(logits=model(IMAGES) / temperature) for model in pair)
    torch.testing.assert_close(terms["distillation"], share * temperature**2 * kl_divergence(teacher, student).mean())
    torch.testing.assert_close(terms["nll"], -(1 - share) * pair[0](IMAGES).log_softmax(1)[range(40), LABELS].mean())


def test_a_student_equal_to_its_teacher_has_no_soft_part(pair, train_settings):
    student = pair[0]
    assert distillation(student, copy.deepcopy(student), train_settings(), 0.5, 2.0)(IMAGES, LABELS, 0.0)["distillation"].abs() < 1e-6


def test_the_teacher_answers_in_evaluation_and_learns_nothing(pair, train_settings):
    student, teacher = pair
    expected = distillation(student, teacher, train_settings(), 0.5, 2.0)(IMAGES, LABELS, 0.0)["distillation"]
    before = copy.deepcopy(teacher.state_dict())
    terms = distillation(student, teacher.train(), train_settings(), 0.5, 2.0)(IMAGES, LABELS, 0.0)
    sum(terms.values()).backward()
    torch.testing.assert_close(terms["distillation"], expected)
    assert equal(teacher.state_dict(), before)
    assert all(parameter.grad is None for parameter in teacher.parameters())


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_the_optimizer_takes_torchs_own_steps(train_settings, name):
    settings = train_settings(optimizer=name, weight_decay=0.1)
    ours, theirs = (nn.Linear(3, 2) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    optimizer = make_optimizer(ours, settings)
    kind, keywords = {"adamw": (torch.optim.AdamW, {}), "sgd": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True})}[name]
    reference = kind([{"params": [theirs.weight], "weight_decay": 0.1}, {"params": [theirs.bias], "weight_decay": 0.0}],
                     lr=settings.lr, **keywords)
    for images in torch.randn(5, 4, 3):
        descend(optimizer, {"nll": ours(images).square().mean()})
        descend(reference, {"nll": theirs(images).square().mean()})
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.bias, theirs.bias)


def test_training_does_not_load_the_compiler():
    code = ("import sys, torch; from sparsify.training import TrainSettings, descend, make_optimizer; model = torch.nn.Linear(2, 1); "
            "optimizer = make_optimizer(model, TrainSettings(epochs=1, batch_size=1, optimizer='adamw', lr=0.1, weight_decay=0.0, "
            "label_smoothing=0.0, input_noise=0.0, input_dropout=0.0, augment=False)); "
            "descend(optimizer, {'nll': model(torch.ones(1, 2)).sum()}); sys.exit('torch._dynamo' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent).returncode == 0
