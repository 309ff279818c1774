"""On chains every prior trains to the figures of an independent trainer: layer by layer, the same draws in the same order.

The trainer is written out here, with plain formulas, autograd and hand-made costs; of the library it takes the priors' KL alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sparsify.bayes.convert import bake, bayesianize
from sparsify.bayes.objective import kl, update_priors
from sparsify.bayes.priors import KINDS

STEPS, N, N_DATA = 6, 8, 50
MLP, CONV = "mlp", "conv"
SHAPES = {MLP: (N, 6), CONV: (N, 2, 5, 5)}
WEIGHTS = {MLP: {"0": (5, 6), "2": (4, 5), "4": (3, 4)}, CONV: {"0": (3, 18), "2": (4, 12), "5": (5, 16), "7": (3, 5)}}  # (O, J)
USES = {MLP: {"0": 1, "2": 1, "4": 1}, CONV: {"0": 9, "2": 4, "5": 1, "7": 1}}
# By layer with gates on what it reads: units, weights into one, weights out of it
GATES = {MLP: {"0": (6, 0, 5), "2": (5, 6, 4), "4": (4, 5, 3)}, CONV: {"2": (3, 18, 16), "5": (4, 12, 20), "7": (5, 16, 3)}}


def network(name):
    torch.manual_seed(4)
    if name == MLP:
        return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)).double()
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 2), nn.ReLU(), nn.Flatten(),
                         nn.Linear(16, 5), nn.ReLU(), nn.Linear(5, 3)).double()


def batches(name):
    torch.manual_seed(5)
    return [(torch.randn(SHAPES[name], dtype=torch.float64), torch.randint(3, (N,))) for _ in range(STEPS)]


def costs_by_hand(name, by):
    """By layer, of one weight."""
    n = {layer: rows * length for layer, (rows, length) in WEIGHTS[name].items()}
    cost = {"units": {layer: 1 / length for layer, (_, length) in WEIGHTS[name].items()},
            "weights": dict.fromkeys(n, 1), "macs": USES[name]}[by]
    mean = sum(cost[layer] * n[layer] for layer in n) / sum(n.values())
    return {layer: cost[layer] / mean for layer in n}


class Reference:
    def __init__(self, name, settings, inputs):
        self.plain, self.kind, cost = network(name), settings.kind, costs_by_hand(name, settings.kl_weight)
        self.noise, self.gates, self.kls, self.priors = {}, {}, [], []
        layers, groups = list(WEIGHTS[name]), KINDS[settings.kind].groups
        if groups == "units":
            for at, (layer, (units, fan_in, fan_out)) in enumerate(GATES[name].items()):
                if layer != "0" or inputs:
                    before = layers[layers.index(layer) - 1] if at or layer != "0" else layer
                    price = 1.0 if settings.kl_weight == "units" else cost[before] * fan_in + cost[layer] * fan_out
                    self._gate(layer, units, price, settings)
            return
        for layer in layers if groups == "weights" else layers[:-1]:
            weight = self.plain.get_submodule(layer).weight
            start = weight.detach().flatten(1).square().mean(1).mul(settings.initial_alpha).log()
            log_var = start.reshape(-1, *[1] * (weight.ndim - 1)).expand_as(weight).clone().requires_grad_()
            self.noise[layer] = log_var
            self._prior(settings, lambda weight=weight, log_var=log_var: (weight.flatten(1), log_var.flatten(1)), cost[layer])

    def _gate(self, layer, units, price, settings):
        mean = torch.ones(units, dtype=torch.float64, requires_grad=True)
        log_var = torch.full((units,), settings.initial_alpha, dtype=torch.float64).log().requires_grad_()
        self.gates[layer] = mean, log_var
        self._prior(settings, lambda: (mean[None], log_var[None]), price)

    def _prior(self, settings, matrices, cost):
        prior = KINDS[settings.kind](settings, *(part.detach() for part in matrices()))
        self.priors.append((prior, matrices))
        self.kls.append(lambda: cost * prior.kl(*matrices()).sum())

    def parameters(self):
        return [*self.plain.parameters(), *self.noise.values(), *(part for gate in self.gates.values() for part in gate)]

    def __call__(self, x):
        for name, layer in self.plain.named_children():
            if name in self.gates:
                mean, log_var = self.gates[name]
                z = mean + (0.5 * log_var).exp() * torch.randn(N, len(mean)).double()
                x = x * z.repeat_interleave(x.shape[1] // len(mean), 1).reshape(*x.shape[:2], *[1] * (x.ndim - 2))
            y = layer(x)
            if name in self.noise:
                product = F.linear if isinstance(layer, nn.Linear) else F.conv2d
                variance = product(x.square(), self.noise[name].exp())
                y = y + (variance + 1e-12).sqrt() * torch.randn(y.numel()).view(y.shape).double()
            x = y
        return x


def trained(model, parameters, kl_sum, after_step, name):
    """-> (STEPS, 2) nll and KL"""
    optimizer, history = torch.optim.Adam(parameters, lr=0.02), []
    torch.manual_seed(6)
    data = batches(name)
    torch.manual_seed(7)
    for x, labels in data:
        nll, total = F.cross_entropy(model(x), labels), kl_sum()
        optimizer.zero_grad()
        (nll + total / N_DATA).backward()
        optimizer.step()
        after_step()
        history.append(torch.stack([nll, total]).detach())
    return torch.stack(history)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by", ["units", "weights", "macs"])
@pytest.mark.parametrize(("name", "inputs"), [(MLP, True), (MLP, False), (CONV, True)])
def test_training_on_a_chain_is_that_of_an_independent_trainer(prior_settings, name, inputs, by, kind):
    settings = prior_settings(kind=kind, kl_weight=by)
    reference = Reference(name, settings, inputs)
    plain = network(name)
    twin = bayesianize(plain, torch.zeros(SHAPES[name], dtype=torch.float64), settings, inputs=inputs)

    def update():
        for prior, matrices in reference.priors:
            if prior.fitted:
                prior.update(*(part.detach() for part in matrices()))
    expected = trained(reference, reference.parameters(), lambda: sum(part() for part in reference.kls), update, name)
    found = trained(twin, list(twin.parameters()), lambda: kl(twin), lambda: update_priors(twin), name)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    baked = bake(twin)
    for layer, (mean, _) in reference.gates.items():
        weight = reference.plain.get_submodule(layer).weight
        weight.data *= mean.repeat_interleave(weight.shape[1] // len(mean)).reshape(1, -1, *[1] * (weight.ndim - 2))
    for key, value in reference.plain.state_dict().items():
        torch.testing.assert_close(baked.state_dict()[key], value, rtol=1e-5, atol=1e-5)
