"""Which layers turn Bayesian, and that a twin and its original share nothing."""

import copy

import pytest
import torch
from torch import nn

from sparsify import models
from sparsify.bayes.convert import bake, bayesian_layers, bayesianize, log_alphas, noise_parameters
from sparsify.bayes.objective import update_priors
from sparsify.bayes.priors import KINDS

MLP, LENET5 = ["fc1", "fc2", "fc3"], ["conv1", "conv2", "fc1", "fc2"]
SHAPE = (1, 28, 28)
CHOSEN = [
    *((name, kind, inputs, layers) for kind in ("log_uniform", "ard") for inputs in (True, False)
      for name, layers in (("lenet-300-100", MLP), ("lenet5", LENET5))),
    *((name, kind, inputs, layers[:-1]) for kind in ("gaussian", "mixture") for inputs in (True, False)
      for name, layers in (("lenet-300-100", MLP), ("lenet5", LENET5))),
    ("lenet-300-100", "gate", True, MLP), ("lenet-300-100", "gate", False, MLP[1:]),
    ("lenet5", "gate", True, LENET5[1:]), ("lenet5", "gate", False, LENET5[1:])]
every_kind = pytest.mark.parametrize("kind", KINDS)
every_model = pytest.mark.parametrize("name", ["lenet-300-100", "lenet5"])


@pytest.fixture
def make_twin(prior_settings):
    @torch.no_grad()
    def make(plain, kind, inputs=True):
        """With every parameter at random."""
        twin = bayesianize(plain, prior_settings(kind=kind), inputs)
        for parameter in twin.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        return twin
    return make


@every_kind
def test_noise_is_what_a_twin_has_beside_its_original(prior_settings, kind):
    plain = models.build("lenet5", SHAPE, 10)
    twin = bayesianize(plain, prior_settings(kind=kind), True)
    names, plain_names = ({name for name, _ in network.named_parameters()} for network in (twin, plain))
    assert set(noise_parameters(twin)) == names - plain_names


@pytest.mark.parametrize(("name", "kind", "inputs", "layers"), CHOSEN)
def test_layers_that_turn_bayesian(prior_settings, name, kind, inputs, layers):
    twin = bayesianize(models.build(name, SHAPE, 10, 0.05), prior_settings(kind=kind), inputs)
    assert list(bayesian_layers(twin)) == layers
    assert [type(layer) for layer in bake(twin)] == [type(layer) for layer in models.build(name, SHAPE, 10, 0.05)]


@every_kind
@every_model
def test_the_original_is_not_touched(make_twin, kind, name):
    plain = models.build(name, SHAPE, 10, 0.05)
    types, state = [type(layer) for layer in plain], copy.deepcopy(plain.state_dict())
    twin = make_twin(plain, kind)
    twin(torch.rand(4, *SHAPE)).sum().backward()
    update_priors(twin)
    assert [type(layer) for layer in plain] == types
    assert all(parameter.grad is None for parameter in plain.parameters())
    assert plain.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in plain.state_dict().items())


@every_kind
@every_model
def test_baked_logits_equal_those_of_the_twin_in_evaluation(make_twin, hostile, kind, name):
    twin = hostile(make_twin(models.build(name, SHAPE, 10, 0.05), kind))
    images = torch.rand(4, *SHAPE, dtype=torch.float64)
    torch.testing.assert_close(bake(twin)(images), twin(images), rtol=0, atol=1e-10)


@every_kind
def test_baked_network_shares_no_storage(make_twin, kind):
    twin = make_twin(models.build("vgg16", (3, 32, 32), 10, 0.02), kind)
    owned = {tensor.untyped_storage().data_ptr() for tensor in twin.state_dict().values()}
    assert not owned & {tensor.untyped_storage().data_ptr() for tensor in bake(twin).state_dict().values()}


@every_kind
def test_a_twin_stays_in_the_mode_of_its_original(prior_settings, kind):
    twin = bayesianize(models.build("lenet-300-100", SHAPE, 10, 0.05).eval(), prior_settings(kind=kind), True)
    images = torch.rand(2, *SHAPE)
    assert torch.equal(twin(images), twin(images))


@every_kind
@every_model
def test_log_alphas_hold_noise_over_signal_of_each_weight(make_twin, kind, name):
    """On the weights of a layer by brute force: the row's for priors of neurons, the gate's for priors of units."""
    twin = make_twin(models.build(name, SHAPE, 10, 0.05), kind)
    found = log_alphas(twin)
    assert found.keys() == bayesian_layers(twin).keys()
    for name, layer in bayesian_layers(twin).items():
        weight = layer.weight.detach()
        if kind == "gate":
            ratio = (layer.gate_log_var.exp() / layer.gate_mean.square()).detach()
            expected = torch.stack([torch.full_like(weight[:, unit], value) for unit, value in enumerate(ratio)], 1)
        elif kind in ("gaussian", "mixture"):
            noise, signal = layer.log_var.detach().exp(), weight.square()
            expected = torch.stack([torch.full_like(row, (n.sum() / row.sum()).item()) for n, row in zip(noise, signal, strict=True)])
        else:
            expected = layer.log_var.detach().exp() / weight.square()
        clear = weight.abs() > 0.03  # of the floor under squared weights
        torch.testing.assert_close(found[name].expand_as(weight)[clear], expected.log().clamp(-8, 8)[clear], rtol=0, atol=1e-3)


def test_costs_multiply_the_kl_of_their_layer(prior_settings):
    plain, costs = models.build("lenet-300-100", SHAPE, 10, 0.05), {"fc1": 2.0, "fc2": 3.0, "fc3": 5.0}
    plain_twin = bayesianize(plain, prior_settings(kind="ard"), True)
    twin = bayesianize(plain, prior_settings(kind="ard"), True, {name: torch.tensor(cost) for name, cost in costs.items()})
    for name, layer in bayesian_layers(twin).items():
        torch.testing.assert_close(layer.kl(), costs[name] * bayesian_layers(plain_twin)[name].kl())


def test_a_gates_cost_multiplies_its_own_kl(prior_settings):
    plain = nn.Sequential(nn.Linear(3, 2))
    twin = bayesianize(plain, prior_settings(kind="gate", initial_alpha=0.5), True, {"0": torch.tensor([1.0, 10.0, 100.0])})
    twin[0].gate_mean.data = torch.tensor([1.0, 2.0, 3.0])
    expected = sum(0.5 * cost * torch.tensor(1 + mean**2 / 0.5).log() for cost, mean in ((1, 1.0), (10, 2.0), (100, 3.0)))
    torch.testing.assert_close(twin[0].kl(), expected)
