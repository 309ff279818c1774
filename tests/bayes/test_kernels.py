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


@pytest.fixture
def as_gpu(monkeypatch):
    """as_gpu(): from here on a CPU's tensors count as a GPU's"""
    def switch():
        monkeypatch.setattr(kernels, "on_gpu", lambda tensor: True)
    return switch


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


@pytest.mark.parametrize("network", [Residual, Shuffled])
@pytest.mark.parametrize(("kind", "indicator"), [*((kind, "weight") for kind in KINDS), ("mixture", "neuron")])
def test_the_kl_with_its_gradients_and_the_fit_are_those_of_a_cpu(as_gpu, prior_settings, network, kind, indicator):
    twin = noisy_twin(network(), prior_settings(kind=kind, indicator=indicator, kl_weight="macs"))
    other = copy.deepcopy(twin)
    update_priors(twin)
    expected = kl_and_gradients(twin)
    as_gpu()
    update_priors(other)
    torch.testing.assert_close(dict(other.named_buffers()), dict(twin.named_buffers()), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(kl_and_gradients(other), expected, rtol=1e-6, atol=1e-9)


def test_rows_are_views_of_weights_whatever_their_layout(as_gpu, prior_settings):
    as_gpu()
    for layout in (torch.contiguous_format, torch.channels_last):
        twin = bayesianize(nn.Sequential(nn.Conv2d(3, 5, 3), nn.Conv2d(5, 4, 1)), torch.zeros(2, 3, 4, 4), prior_settings(kind="ard"))
        twin.to(memory_format=layout)
        for group, layer in zip(groups_of(twin), twin, strict=True):
            mean, log_var = group.rows()
            assert (mean.data_ptr(), log_var.data_ptr()) == (layer.weight.data_ptr(), layer.log_var.data_ptr())
