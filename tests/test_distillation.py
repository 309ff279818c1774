"""The soft part of the loss, against its definition and against float32."""

import copy

import pytest
import torch
from test_training import IMAGES, LABELS, equal, network
from torch import nn
from torch.distributions import Categorical, kl_divergence

from sparsify.training import cross_entropy, distillation


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


def test_distillation_near_its_teacher_has_the_gradient_of_float32_under_autocast(train_settings):
    """Where student and teacher nearly agree, shares rounded to bfloat16 would swamp their difference."""
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(9, 3))
    student = copy.deepcopy(teacher)
    with torch.no_grad():
        student[1].weight.mul_(1.1)
    loss, gradients = distillation(student, teacher, train_settings(), 0.9, 2.0), []
    for mixed in (False, True):
        student.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            terms = loss(IMAGES, LABELS, 0.0)
        assert terms["distillation"].dtype == torch.float32
        terms["distillation"].backward()
        gradients.append(student[1].weight.grad.clone())
    assert (gradients[0] - gradients[1]).norm() < 0.05 * gradients[0].norm()
