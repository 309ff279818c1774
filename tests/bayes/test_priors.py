"""One contract for every prior in KINDS, and the mixture's EM against brute force."""

import copy
import itertools
import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from sparsify.bayes.priors import KINDS

VARIANTS = [(kind, indicator) for kind in KINDS for indicator in (("weight", "neuron") if kind == "mixture" else ("weight",))]
every_prior = pytest.mark.parametrize(("kind", "indicator"), VARIANTS)
EXTREMES = (-40.0, -10.0, 0.0, 10.0)  # log variances: an optimiser can wander, exp must not


@pytest.fixture
def make_prior(prior_settings):
    def make(kind, indicator, mean, log_var, **changes):
        return KINDS[kind](prior_settings(kind=kind, indicator=indicator, **changes), mean, log_var).to(mean.dtype)
    return make


def posterior(rows=5, columns=8, dtype=torch.float64):
    """Neurons of different sizes, with signs and noise of every kind."""
    mean = torch.randn(rows, columns, dtype=dtype) * torch.logspace(-2, 0, rows, dtype=dtype)[:, None]
    return mean, mean.square().clamp_min(1e-5).log() + 2 * torch.randn(rows, columns, dtype=dtype)


def fit(prior, mean, log_var):
    if prior.fitted:
        prior.update(mean, log_var)


@every_prior
def test_kl_is_never_negative(make_prior, kind, indicator):
    prior = make_prior(kind, indicator, *posterior())
    for _ in range(20):
        mean, log_var = posterior()
        fit(prior, mean, log_var)
        assert (prior.kl(mean, log_var) >= 0).all()


@every_prior
@pytest.mark.parametrize("log_variance", EXTREMES)
@pytest.mark.parametrize("size", [0.0, 1e-20, 10.0])
def test_kl_and_its_gradient_are_finite_at_the_extremes(make_prior, kind, indicator, log_variance, size):
    prior = make_prior(kind, indicator, *posterior(dtype=torch.float32))
    mean = torch.full((5, 8), size, requires_grad=True)
    log_var = torch.full((5, 8), log_variance, requires_grad=True)
    for total in (prior.kl(mean, log_var).sum(), prior.kl_sum(mean, log_var, torch.tensor(2.0))):
        mean.grad = log_var.grad = None
        total.backward()
        for value in (total, mean.grad, log_var.grad):
            assert value.isfinite().all()


@every_prior
def test_kl_sum_and_its_gradients_are_those_of_the_scaled_kl(make_prior, kind, indicator):
    """The plain formula by autograd, against what is made fast; some weights are beyond the limits of log alpha."""
    mean, log_var = posterior()
    log_var[0], log_var[1] = 5.0, -30.0
    prior = make_prior(kind, indicator, mean, log_var)
    fit(prior, mean, log_var)
    scale = torch.rand(1, 8, dtype=torch.float64) if KINDS[kind].groups == "units" else torch.tensor(0.7, dtype=torch.float64)
    mean, log_var = mean.requires_grad_(), log_var.requires_grad_()
    plain, fast = (scale * prior.kl(mean, log_var)).sum(), prior.kl_sum(mean, log_var, scale)
    torch.testing.assert_close(fast, plain)
    for found, expected in zip(*(torch.autograd.grad(3 * total, (mean, log_var)) for total in (fast, plain)), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


@every_prior
def test_update_survives_the_extremes(make_prior, kind, indicator):
    prior = make_prior(kind, indicator, *posterior(dtype=torch.float32))
    for log_variance in EXTREMES:
        for size in (0.0, 10.0):
            extreme = torch.full((5, 8), size), torch.full((5, 8), log_variance)
            for _ in range(3):
                fit(prior, *extreme)
            mean, log_var = posterior(dtype=torch.float32)
            assert prior.kl(mean, log_var).isfinite().all()
            assert prior.log_alpha(*extreme).isfinite().all()


@every_prior
def test_log_alpha_of_each_weight_follows_noise_over_signal(make_prior, kind, indicator):
    mean = torch.rand(5, 8, dtype=torch.float64) + 0.5
    log_var = mean.square().log() + torch.rand_like(mean)
    prior = make_prior(kind, indicator, mean, log_var)
    before = prior.log_alpha(mean, log_var)
    for after in (prior.log_alpha(mean, log_var + 2), prior.log_alpha(mean / math.e, log_var)):
        torch.testing.assert_close((after - before).expand(5, 8), torch.full_like(mean, 2), rtol=0, atol=1e-6)


@every_prior
def test_state_dict_carries_the_prior(make_prior, kind, indicator):
    mean, log_var = posterior()
    trained, fresh = make_prior(kind, indicator, mean, log_var), make_prior(kind, indicator, mean * 3, log_var - 1)
    for _ in range(5):
        fit(trained, mean, log_var)
    expected = trained.kl(mean, log_var)
    fresh.load_state_dict(copy.deepcopy(trained.state_dict()))
    fit(trained, *posterior())
    assert torch.equal(fresh.kl(mean, log_var), expected)


@pytest.mark.parametrize("indicator", ["weight", "neuron"])
def test_mixture_kl_matches_a_loop_over_neurons_and_components(make_prior, indicator):
    mean, log_var = posterior()
    prior = make_prior("mixture", indicator, mean, log_var)
    prior.update(mean, log_var)
    share, deviation = prior.log_share.exp(), (prior.component_log_var / 2).exp()
    assert torch.allclose(share.sum(0), torch.ones_like(share[0]))
    expected = 0.0
    for neuron in range(5):
        group = neuron if indicator == "weight" else 0
        each = torch.stack([kl_divergence(Normal(mean[neuron], (log_var[neuron] / 2).exp()), Normal(0, deviation[k, group, 0]))
                            for k in range(2)])  # (2, J)
        costs = each if indicator == "weight" else each.sum(1, keepdim=True)  # one indicator a weight, or one for all of them
        for column in range(costs.shape[1]):
            expected -= math.log(sum(share[k, group, 0].item() * math.exp(-costs[k, column].item()) for k in range(2)))
    assert prior.kl(mean, log_var).sum().item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("indicator", ["weight", "neuron"])
def test_an_em_step_never_increases_the_bound(make_prior, indicator):
    for _ in range(20):
        mean, log_var = posterior()
        prior = make_prior("mixture", indicator, *posterior())
        bounds = [prior.kl(mean, log_var).sum().item()]
        for _ in range(15):
            prior.update(mean, log_var)
            bounds.append(prior.kl(mean, log_var).sum().item())
        assert all(after <= before + 1e-6 for before, after in itertools.pairwise(bounds))
        assert bounds[-1] < bounds[0]


def test_em_finds_the_scales_and_shares_of_two_kinds_of_neurons(make_prior):
    deviation = torch.where(torch.arange(400) < 100, 1.0, 0.1).double()  # a quarter of the neurons is wide
    mean = deviation[:, None] * torch.randn(400, 50, dtype=torch.float64)
    prior = make_prior("mixture", "neuron", mean, torch.full_like(mean, -20.0))
    for _ in range(30):
        prior.update(mean, torch.full_like(mean, -20.0))
    variance = prior.component_log_var.exp().flatten()
    for found, true, weights in zip(variance, (0.01, 1.0), (300 * 50, 100 * 50), strict=True):
        assert abs(found - true) < 4 * true * (2 / weights) ** 0.5  # the standard error of a variance
    torch.testing.assert_close(prior.log_share.exp().flatten(), torch.tensor([0.75, 0.25], dtype=torch.float64))


@pytest.mark.parametrize("indicator", ["weight", "neuron"])
def test_component_variances_stay_above_the_floor(make_prior, indicator):
    nothing = torch.zeros(5, 8), torch.full((5, 8), -40.0)
    prior = make_prior("mixture", indicator, *nothing, variance_floor=0.01)
    for _ in range(10):
        prior.update(*nothing)
    assert (prior.component_log_var.exp() >= 0.01 * (1 - 1e-6)).all()


@pytest.mark.parametrize("indicator", ["weight", "neuron"])
def test_an_empty_component_keeps_its_variance_and_can_be_used_again(make_prior, indicator):
    mean, log_var = torch.ones(40, 50, dtype=torch.float64), torch.full((40, 50), -20.0, dtype=torch.float64)
    prior = make_prior("mixture", indicator, mean, log_var)
    narrow = prior.component_log_var[0].clone()
    for _ in range(10):
        prior.update(mean, log_var)  # all belongs to the wide one
    torch.testing.assert_close(prior.component_log_var[0], narrow)
    other = torch.where(torch.arange(2000).reshape(40, 50) % 2 == 0, 1.0, 0.01) if indicator == "weight" else torch.where(
        torch.arange(40) % 2 == 0, 1.0, 0.01)[:, None]
    for _ in range(60):
        prior.update(mean * other, log_var)
    torch.testing.assert_close(prior.log_share.exp(), torch.full_like(prior.log_share, 0.5), rtol=0, atol=0.05)


def test_inputs_that_have_died_do_not_make_a_gaussian_neuron_irrelevant(make_prior):
    """They have no signal, and the noise of the prior, which is large."""
    mean, log_var = torch.ones(1, 10), torch.zeros(1, 10)
    dead = torch.cat([mean, torch.zeros(1, 30)], 1), torch.cat([log_var, torch.full((1, 30), 3.0)], 1)
    prior = make_prior("gaussian", "weight", mean, log_var)
    assert prior.log_alpha(mean, log_var).item() == pytest.approx(0.0, abs=1e-6)
    assert prior.log_alpha(*dead).item() == pytest.approx(math.log(4), rel=1e-5)  # a share of the weights, whatever their noise


def test_what_is_small_and_certain_counts_for_little_in_a_mixture(make_prior):
    mean, log_var = torch.tensor([[1.0, 1e-3]]), torch.tensor([[0.0, -18.0]])
    prior = make_prior("mixture", "weight", mean, log_var)
    assert prior.log_alpha(mean, log_var).item() == pytest.approx(0.0, abs=1e-5)
