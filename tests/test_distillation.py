"""The soft part of the loss, against its definition and against float32."""

import copy

import pytest
import torch
from test_training import BATCH, IMAGES, LABELS, TRAIN, equal, network
from torch import nn
from torch.distributions import Categorical, kl_divergence

from sparsify.data import Split
from sparsify.losses import answers, cross_entropy, distillation
from sparsify.training import Batch


@pytest.fixture
def pair():
    student, teacher = network().eval(), network().eval()
    teacher[2].running_mean.normal_()
    return student, teacher


def ask(network):
    return answers(network, TRAIN, moving=False)


@pytest.mark.parametrize("moving", [True, False])
def test_a_teacher_keeps_its_place_in_memory(moving):
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten())
    before = network[0].weight.stride()
    answers(network, Split(torch.randn(4, 2, 5, 5), torch.zeros(4)), moving)
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


@pytest.mark.parametrize("moving", [False, True])
def test_the_teacher_answers_in_evaluation_and_learns_nothing(pair, train_settings, moving):
    student, teacher = pair
    expected = distillation(student, ask(teacher), train_settings(), 0.5, 2.0)(BATCH)["distillation"]
    before = copy.deepcopy(teacher.state_dict())
    terms = distillation(student, answers(teacher.train(), TRAIN, moving), train_settings(), 0.5, 2.0)(BATCH)
    sum(terms.values()).backward()
    torch.testing.assert_close(terms["distillation"], expected)
    assert equal(teacher.state_dict(), before)
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_the_teacher_sees_images_that_move_and_the_clean_ones_else(pair):
    teacher, shown = pair[1], Batch(-IMAGES[3:5], LABELS[3:5], torch.tensor([3, 4]), 0.0)
    torch.testing.assert_close(answers(teacher, TRAIN, moving=True)(shown), teacher(-IMAGES)[3:5])
    torch.testing.assert_close(answers(teacher, TRAIN, moving=False)(shown), teacher(IMAGES)[3:5])


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
