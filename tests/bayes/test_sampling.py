"""Noise in evaluation: the posterior's moments, and nothing else that training does."""

import copy

import pytest
import torch
from torch import nn

import sparsify
from sparsify.bayes.priors import KINDS

DRAWS = 4000


def within_five_errors(drawn, mean, variance):
    """drawn, (DRAWS, outputs), has these moments, within five standard errors of a Gaussian's."""
    assert ((drawn.mean(0) - mean).abs() < 5 * (variance / DRAWS).sqrt()).all()
    assert ((drawn.var(0) - variance).abs() < 5 * variance * (2 / DRAWS) ** 0.5).all()


@torch.no_grad()
def test_many_passes_of_a_linear_layer_have_the_posteriors_mean_and_variance(prior_settings):
    layer, x = nn.Linear(5, 3).double(), torch.randn(1, 5, dtype=torch.float64)
    twin = sparsify.bayesianize(nn.Sequential(layer), x, prior_settings(kind="log_uniform")).eval()
    twin[0].log_var.normal_(-2)
    with sparsify.sampling(twin):
        drawn = torch.cat([twin(x) for _ in range(DRAWS)])
    within_five_errors(drawn, layer(x)[0], twin[0].log_var.exp() @ x[0].square())


@torch.no_grad()
def test_many_passes_of_gates_have_the_posteriors_mean_and_variance(prior_settings):
    first, last, x = nn.Linear(4, 6).double(), nn.Linear(6, 3).double(), torch.randn(1, 4, dtype=torch.float64)
    twin = sparsify.bayesianize(nn.Sequential(first, last), x, prior_settings(kind="gate")).eval()
    gate = twin[1].gate
    gate.mean.normal_()
    gate.log_var.normal_(-1)
    with sparsify.sampling(twin):
        drawn = torch.cat([twin(x) for _ in range(DRAWS)])
    hidden = first(x)[0]
    within_five_errors(drawn, last(hidden * gate.mean), last.weight.square() @ (hidden.square() * gate.log_var.exp()))


def network():
    return nn.Sequential(nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Dropout(0.9), nn.Linear(24, 8), nn.ReLU(),
                         nn.Linear(8, 3))


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_every_prior_draws_in_evaluation_and_batchnorm_stays_as_it_is(kind, prior_settings):
    x = torch.randn(3, 2, 4, 4)
    twin = sparsify.bayesianize(network(), x, prior_settings(kind=kind)).eval()
    mean, before = twin(x), copy.deepcopy(twin.state_dict())
    with sparsify.sampling(twin):
        assert not any(module.training for module in twin.modules())
        first, second = twin(x), twin.eval()(x)  # eval() does not end it
        torch.manual_seed(0)
        third = twin(x)
        torch.manual_seed(0)
        assert torch.equal(third, twin(x))
        plain = sparsify.bake(twin)
    assert not torch.equal(first, second) and not torch.equal(first, mean)
    assert torch.equal(twin(x), mean)  # it has ended
    assert all(torch.equal(tensor, before[name]) for name, tensor in twin.state_dict().items())
    torch.testing.assert_close(plain(x), mean)


def test_an_error_within_ends_it(prior_settings):
    twin = sparsify.bayesianize(network(), torch.randn(3, 2, 4, 4), prior_settings(kind="gate")).eval()
    with pytest.raises(ZeroDivisionError), sparsify.sampling(twin):
        raise ZeroDivisionError
    x = torch.randn(1, 2, 4, 4)
    assert torch.equal(twin(x), twin(x))


def test_a_plain_network_has_nothing_to_draw():
    with pytest.raises(sparsify.InputError, match="no prior"), sparsify.sampling(network()):
        pass
