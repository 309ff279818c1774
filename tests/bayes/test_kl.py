"""The closed forms against torch.distributions, numerical integration and Monte Carlo."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal, kl_divergence

from sparsify.bayes import kl

FIT_ERROR = 0.0095  # nats: how far arXiv:1701.05369's sigmoid fit is from the integral at most
# As functions of a posterior: (O, J), (O, J) -> nats
CLOSED_FORMS = {"log_uniform": lambda mean, log_var: kl.kl_log_uniform(kl.log_alpha(mean, log_var)),
                "ard": kl.kl_ard, "row_gaussian": kl.kl_row_gaussian}
each_form = pytest.mark.parametrize("form", CLOSED_FORMS.values(), ids=CLOSED_FORMS)


def posterior(rows: int = 4, columns: int = 6) -> tuple[Tensor, Tensor]:
    """Means well above the floor, log alpha well within the limits."""
    sign = 1 - 2 * torch.randint(2, (rows, columns))
    mean = sign * (0.1 + torch.rand(rows, columns, dtype=torch.float64))
    return mean, mean.square().log() + 6 * torch.rand_like(mean) - 3


@pytest.mark.parametrize("log_alpha", [-7.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 7.0])
def test_kl_log_uniform_matches_integration(log_alpha):
    edges = torch.linspace(-10, 10, 2_000_001, dtype=torch.float64)
    noise, step = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    density = (-0.5 * noise.square()).exp() / math.sqrt(2 * math.pi)
    mean_log = (density * (1 + math.exp(log_alpha / 2) * noise).abs().log()).sum() * step  # E log|w / m|
    at_infinity = -(0.5772156649 + math.log(2)) / 2  # E log|noise|: what is left of E log|w / m| - log sqrt(alpha)
    expected = mean_log - 0.5 * log_alpha - at_infinity
    assert abs(kl.kl_log_uniform(torch.tensor(log_alpha, dtype=torch.float64)) - expected) < FIT_ERROR


def test_kl_ard_matches_torch_at_the_fitted_scale():
    mean, log_var = posterior()
    deviation = (log_var / 2).exp()
    expected = kl_divergence(Normal(mean, deviation), Normal(0, (mean.square() + log_var.exp()).sqrt()))
    torch.testing.assert_close(kl.kl_ard(mean, log_var), expected, rtol=0, atol=1e-5)  # the floor under mean^2 is 1e-8


def test_kl_row_gaussian_is_the_least_over_all_scales():
    mean, log_var = posterior()
    row = Normal(mean[..., None], (log_var / 2).exp()[..., None])
    scales = torch.linspace(-3, 3, 6001, dtype=torch.float64).exp()
    least = kl_divergence(row, Normal(0, scales)).sum(1).min(1)
    assert ((least.indices > 0) & (least.indices < 6000)).all()
    torch.testing.assert_close(kl.kl_row_gaussian(mean, log_var), least.values, rtol=0, atol=1e-5)


def test_kl_row_gaussian_matches_monte_carlo():
    mean, log_var = posterior()
    posterior_law, prior = Normal(mean, (log_var / 2).exp()), Normal(0, (mean.square() + log_var.exp()).mean(1, keepdim=True).sqrt())
    weights = posterior_law.sample((20_000,))
    draws = (posterior_law.log_prob(weights) - prior.log_prob(weights)).sum(2)
    standard_error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - kl.kl_row_gaussian(mean, log_var)).abs() < 4 * standard_error).all()


@each_form
def test_kl_is_never_negative_and_falls_as_noise_grows(form):
    mean, log_var = posterior()
    values = torch.stack([form(mean, log_var + shift) for shift in torch.linspace(-4, 4, 50)])
    assert (values > 0).all()
    assert (values.diff(dim=0) < 0).all()


@each_form
def test_kl_gradient_matches_finite_differences(form):
    assert torch.autograd.gradcheck(form, [part.requires_grad_() for part in posterior()])


def test_log_alpha_is_the_log_of_noise_over_signal_within_its_limits():
    mean = torch.tensor([0.5, -2.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    variance = torch.tensor([0.25, 1.0, 1e9, 1e-9, 1.0], dtype=torch.float64)
    expected = torch.tensor([0.0, -math.log(4), 8.0, -8.0, 8.0], dtype=torch.float64)
    torch.testing.assert_close(kl.log_alpha(mean, variance.log()), expected, rtol=0, atol=1e-6)


def mixture_terms(mean: Tensor, log_var: Tensor, share: Tensor, scale: Tensor) -> Tensor:
    return share.log().reshape(-1, 1, 1) - kl_divergence(Normal(mean, (log_var / 2).exp()), Normal(0, scale.reshape(-1, 1, 1)))


def test_mixture_bound_is_above_the_monte_carlo_kl_and_below_either_component():
    mean, log_var = posterior()
    share, scale = torch.tensor([0.3, 0.7], dtype=torch.float64), torch.tensor([0.4, 1.0], dtype=torch.float64)
    law, prior = Normal(mean, (log_var / 2).exp()), MixtureSameFamily(Categorical(share), Normal(0, scale))
    weights = law.sample((20_000,))
    draws = law.log_prob(weights) - prior.log_prob(weights)
    terms = mixture_terms(mean, log_var, share, scale)
    bound = kl.kl_mixture_bound(terms)
    assert (bound > draws.mean(0) - 4 * draws.std(0) / len(draws) ** 0.5).all()
    assert (bound <= -terms).all()


def test_mixture_bound_is_exact_for_equal_components():
    mean, log_var = posterior()
    share, scale = torch.tensor([0.2, 0.8], dtype=torch.float64), torch.tensor([0.7, 0.7], dtype=torch.float64)
    expected = kl_divergence(Normal(mean, (log_var / 2).exp()), Normal(0, scale[0]))
    torch.testing.assert_close(kl.kl_mixture_bound(mixture_terms(mean, log_var, share, scale)), expected)
