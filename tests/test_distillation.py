"""The soft part of the loss, against its definition and against float32."""

import copy

import pytest
import torch
from plain_settings import TRAIN as SETTINGS
from test_training import BATCH, IMAGES, LABELS, TRAIN, equal, network
from torch import nn
from torch.distributions import Categorical, kl_divergence

from sparsify import losses
from sparsify.data import Split, moved
from sparsify.losses import answers, cross_entropy, distillation
from sparsify.training import Batch


@pytest.fixture
def pair():
    student, teacher = network().eval(), network().eval()
    teacher[2].running_mean.normal_()
    return student, teacher


def ask(network):
    return answers(network, TRAIN, SETTINGS)


@pytest.mark.parametrize("shift", [1, 0])
def test_a_teacher_keeps_its_place_in_memory(train_settings, shift):
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten())
    before = network[0].weight.stride()
    answers(network, Split(torch.randn(4, 2, 5, 5), torch.zeros(4)), train_settings(shift=shift))
    assert network[0].weight.stride() == before


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_without_a_share_distillation_is_cross_entropy(pair, train_settings, smoothing):
    terms = distillation(pair[0], ask(pair[1]), train_settings(label_smoothing=smoothing), 0.0, 3.0)(BATCH)
    logp = pair[0](IMAGES).log_softmax(1)
    expected = -((1 - smoothing) * logp[range(40), LABELS] + smoothing * logp.mean(1)).mean()
    torch.testing.assert_close(sum(terms.values()), expected)
    torch.testing.assert_close(cross_entropy(pair[0], train_settings(label_smoothing=smoothing))(BATCH)["nll"], expected)


@pytest.mark.parametrize(("share", "temperature"), [(0.3, 1.0), (0.9, 4.0)])
def test_the_soft_part_is_the_kl_from_the_teachers_answers(pair, train_settings, share, temperature):
    terms = distillation(pair[0], ask(pair[1]), train_settings(), share, temperature)(BATCH)
    student, teacher = (Categorical(logits=model(IMAGES) / temperature) for model in pair)
    torch.testing.assert_close(terms["distillation"], share * temperature**2 * kl_divergence(teacher, student).mean())
    torch.testing.assert_close(terms["nll"], -(1 - share) * pair[0](IMAGES).log_softmax(1)[range(40), LABELS].mean())


def test_a_student_equal_to_its_teacher_has_no_soft_part(pair, train_settings):
    student = pair[0]
    assert distillation(student, ask(copy.deepcopy(student)), train_settings(), 0.5, 2.0)(BATCH)["distillation"].abs() < 1e-6


@pytest.mark.parametrize("shift", [0, 1])
def test_the_teacher_answers_in_evaluation_and_learns_nothing(pair, train_settings, shift):
    student, teacher = pair
    expected = distillation(student, ask(teacher), train_settings(), 0.5, 2.0)(BATCH)["distillation"]
    before, shown = copy.deepcopy(teacher.state_dict()), BATCH._replace(moved=torch.full((40,), 4) if shift else None)  # where they are
    terms = distillation(student, answers(teacher.train(), TRAIN, train_settings(shift=shift)), train_settings(), 0.5, 2.0)(shown)
    sum(terms.values()).backward()
    torch.testing.assert_close(terms["distillation"], expected)
    assert equal(teacher.state_dict(), before)
    assert all(parameter.grad is None for parameter in teacher.parameters())


def batch_of(indices, numbers, shift):
    """Noisy, and moved about."""
    clean = moved(IMAGES[indices], numbers, shift)
    return Batch(clean + 9, clean, LABELS[indices], indices, 0.0, numbers)


def test_the_teacher_sees_images_where_they_are_without_their_noise(pair, train_settings):
    teacher, indices, numbers = pair[1], torch.tensor([3, 4]), torch.tensor([2, 7])
    for shift in (0, 1):
        shown = batch_of(indices, numbers * shift, shift)
        torch.testing.assert_close(answers(teacher, TRAIN, train_settings(shift=shift))(shown), teacher(shown.clean))


class Counting(nn.Module):
    asked = 0  # of all copies

    def forward(self, images):
        Counting.asked += len(images)
        return images.flatten(1)[:, :3]


@pytest.mark.parametrize(("settings", "most", "at_the_start"), [
    ({"shift": 1, "epochs": 9}, 9 * 40 * 3, 360), ({"shift": 1, "epochs": 8}, 9 * 40 * 3, 0),
    ({"shift": 1, "epochs": 9}, 9 * 40 * 3 - 1, 0), ({}, 0, 40)])
def test_a_teacher_is_asked_about_all_moves_at_the_start_where_that_pays_and_can_be_kept(train_settings, monkeypatch, settings, most,
                                                                                      at_the_start):
    monkeypatch.setattr(losses, "_KNOWN", most)
    chosen, indices = train_settings(**settings), torch.tensor([7, 7, 0, 39])
    Counting.asked = 0
    teacher = answers(Counting(), TRAIN, chosen)
    assert Counting.asked - 2 * (chosen.moves > 1 and chosen.epochs == 9) == at_the_start  # two, to see how many answers there are
    for _ in range(2):
        numbers = torch.randint(chosen.moves, (4,)) if chosen.moves > 1 else None
        clean = IMAGES[indices] if numbers is None else moved(IMAGES[indices], numbers, chosen.shift)
        assert torch.equal(teacher(Batch(clean + 9, clean, LABELS[indices], indices, 0.0, numbers)), clean.flatten(1)[:, :3])
    assert (Counting.asked > at_the_start + 2) == (at_the_start == 0)


def test_distillation_near_its_teacher_has_the_gradient_of_float32_under_autocast(train_settings):
    """Where student and teacher nearly agree, shares rounded to bfloat16 would swamp their difference."""
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(9, 3))
    student = copy.deepcopy(teacher)
    with torch.no_grad():
        student[1].weight.mul_(1.1)
    loss, gradients = distillation(student, ask(teacher), train_settings(), 0.9, 2.0), []
    for mixed in (False, True):
        student.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            terms = loss(BATCH)
        assert terms["distillation"].dtype == torch.float32
        terms["distillation"].backward()
        gradients.append(student[1].weight.grad.clone())
    assert (gradients[0] - gradients[1]).norm() < 0.05 * gradients[0].norm()
