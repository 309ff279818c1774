"""What a GPU computes in another way is what a CPU computes: here on a CPU that takes itself for a GPU, and on a GPU where there is one."""

import copy

import pytest
import torch
from networks import Residual, Shuffled, example
from torch import nn

from sparsify.bayes import kernels
from sparsify.bayes.convert import bayesianize
from sparsify.bayes.groups import groups_of
from sparsify.bayes.objective import kl, update_priors
from sparsify.bayes.priors import KINDS


@torch.no_grad()
def noisy_twin(plain, settings):
    """Channels-last, in float64, every parameter at random."""
    twin = bayesianize(plain, example(plain), settings).double().to(memory_format=torch.channels_last).train()
    for parameter in twin.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    return twin


def kl_and_gradients(twin):
    parameters = [parameter for group in groups_of(twin) for parameter in group.noise()]
    parameters += [layer.weight for group in groups_of(twin) for layer in getattr(group, "layers", ())]
    value = kl(twin)
    return value, torch.autograd.grad(value, parameters)


def close(found, expected):
    """To float32, in another order of sums."""
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7, check_device=False)


every_prior = pytest.mark.parametrize(("kind", "indicator"), [*((kind, "weight") for kind in KINDS), ("mixture", "neuron")])


@every_prior
def test_the_kl_and_its_gradients_are_those_of_the_plain_formula(gpu, prior_settings, kind, indicator):
    """Some weights are beyond the limits of log alpha, some are zero."""
    mean = torch.randn(6, 8, dtype=torch.float64) * torch.logspace(-2, 0, 6, dtype=torch.float64)[:, None]
    log_var = mean.square().log() + 2 * torch.randn_like(mean)
    log_var[0], log_var[1], mean[2, :4] = 5.0, -30.0, 0.0
    prior = KINDS[kind](prior_settings(kind=kind, indicator=indicator), mean, log_var).double()
    if prior.fitted:
        prior.update(mean, log_var)
    scale = torch.rand(1, 8, dtype=torch.float64) if KINDS[kind].groups == "units" else torch.tensor(0.7, dtype=torch.float64)

    def with_gradients(kl_sum, mean, log_var):
        value = kl_sum(mean.requires_grad_(), log_var.requires_grad_())
        return value, *torch.autograd.grad(3 * value, (mean, log_var))
    expected = with_gradients(lambda *parts: (scale * prior.kl(*parts)).sum(), mean, log_var)
    there, scale = gpu(prior), gpu(scale)
    found = with_gradients(lambda *parts: there.kl_sum(*parts, scale), gpu(mean.detach()), gpu(log_var.detach()))
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9, check_device=False)  # softplus is linear beyond 20


@pytest.mark.parametrize("indicator", ["weight", "neuron"])
@pytest.mark.parametrize("size", [0.0, 1e-3, 1.0, "one neuron each"])
def test_the_mixture_is_fitted_as_on_a_cpu(gpu, prior_settings, indicator, size):
    """Where a component is empty, and where its variance is at the floor, too."""
    mean, log_var = torch.randn(2, 6, 8, dtype=torch.float64)
    prior = KINDS["mixture"](prior_settings(kind="mixture", indicator=indicator), mean, log_var - 6).double()
    mean, log_var = mean * (torch.logspace(-4, 0, 6)[:, None] if isinstance(size, str) else size), log_var - 20
    other = copy.deepcopy(prior)
    for _ in range(4):
        prior.update(mean, log_var)
    other, mean, log_var = gpu(other), gpu(mean), gpu(log_var)
    for _ in range(4):
        other.update(mean, log_var)
    close(dict(other.named_buffers()), dict(prior.named_buffers()))


@pytest.mark.parametrize("network", [Residual, Shuffled])
@every_prior
def test_the_kl_with_its_gradients_and_the_fit_are_those_of_a_cpu(gpu, prior_settings, network, kind, indicator):
    twin = noisy_twin(network(), prior_settings(kind=kind, indicator=indicator, kl_weight="macs"))
    start = copy.deepcopy(twin)
    update_priors(twin)
    expected = kl_and_gradients(twin)
    other = gpu(start)
    update_priors(other)
    close(dict(other.named_buffers()), dict(twin.named_buffers()))
    close(kl_and_gradients(other), expected)


def test_rows_are_views_of_weights_whatever_their_layout(gpu, prior_settings):
    for layout in (torch.contiguous_format, torch.channels_last):
        twin = bayesianize(nn.Sequential(nn.Conv2d(3, 5, 3), nn.Conv2d(5, 4, 1)), torch.zeros(2, 3, 4, 4), prior_settings(kind="ard"))
        twin = gpu(twin).to(memory_format=layout)
        for group, layer in zip(groups_of(twin), twin, strict=True):
            mean, log_var = group.rows()
            assert (mean.data_ptr(), log_var.data_ptr()) == (layer.weight.data_ptr(), layer.log_var.data_ptr())


@pytest.mark.parametrize("function", ["square", "exp"])
def test_squares_and_exponentials_have_their_gradients(gpu, function):
    x = gpu(torch.randn(3, 4, 5, 6, dtype=torch.float64).to(memory_format=torch.channels_last)).requires_grad_()
    mine = lambda x: getattr(kernels, function)(x, torch.float64)  # noqa: E731
    torch.testing.assert_close(mine(x), getattr(torch, function)(x))
    assert torch.autograd.gradcheck(mine, x)


def test_the_noise_of_a_layer_has_its_gradients(gpu):
    mean, variance, noise = (gpu(torch.rand(2, 3, 4, dtype=torch.float64)) for _ in range(3))
    torch.testing.assert_close(kernels.noisy(mean, variance, noise), mean + variance.sqrt() * noise)
    assert torch.autograd.gradcheck(lambda *parts: kernels.noisy(*parts, noise), (mean.requires_grad_(), variance.requires_grad_()))
    assert kernels.noisy(mean, 0 * variance, noise).isfinite().all()


@pytest.mark.parametrize("network", [Residual, Shuffled])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_that_of_a_cpu_but_for_its_draws(gpu, monkeypatch, prior_settings, network, kind):
    """All noise is one here."""
    monkeypatch.setattr(torch, "randn", torch.ones)
    twin, x = noisy_twin(network(), prior_settings(kind=kind)), example(network().double())
    start = copy.deepcopy(twin)
    (twin(x).square().sum() + kl(twin)).backward()
    other, x = gpu(start), gpu(x)
    (other(x).square().sum() + kl(other)).backward()
    for found, expected in zip(other.parameters(), twin.parameters(), strict=True):
        close(found.grad, expected.grad)
