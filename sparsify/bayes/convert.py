"""From a plain network to its Bayesian twin, and back to a plain network with a measure of every weight's relevance.

Which layers turn Bayesian depends on what the prior groups:
    weights   every layer
    neurons   every layer but the last, whose neurons are the classes and cannot go
    gates     every layer, on the features that it reads; not on colour channels, and on input pixels only where asked"""

import copy

import torch
from torch import Tensor, nn

from sparsify.bayes.layers import BayesConv2d, BayesianLayer, BayesLinear, GatedConv2d, GatedLinear
from sparsify.bayes.priors import KINDS, PriorSettings
from sparsify.models import weighted_layers
from sparsify.settings import InputError

_TWINS = {(nn.Linear, False): BayesLinear, (nn.Conv2d, False): BayesConv2d,
          (nn.Linear, True): GatedLinear, (nn.Conv2d, True): GatedConv2d}  # (plain type, whether units are grouped)


def bayesianize(model: nn.Sequential, settings: PriorSettings, inputs: bool, costs: dict[str, Tensor] | None = None) -> nn.Sequential:
    """A copy of `model` whose layers have turned Bayesian; `model` is not changed.

    inputs: whether input pixels get gates (`gate` alone; the other priors act on weights).
    costs: by layer, what one more unit or weight costs, in a shape that broadcasts to the prior's KL; ones if not given."""
    twin = copy.deepcopy(model)
    layers = weighted_layers(twin)
    groups = KINDS[settings.kind].groups
    chosen = _chosen(layers, groups, inputs)
    if not chosen:
        raise InputError(f"prior.kind {settings.kind} finds nothing to act on in a network of the one layer {', '.join(layers)}; "
                         "choose log_uniform or ard")
    for name in chosen:
        layer = _TWINS[type(layers[name]), groups == "units"](layers[name], settings)
        if costs is not None:
            layer.kl_scale.copy_(costs[name].expand_as(layer.kl_scale))
        setattr(twin, name, layer)
    return twin.train(model.training)


def bayesian_layers(model: nn.Module) -> dict[str, BayesianLayer]:
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, BayesianLayer)}


def noise_parameters(model: nn.Module) -> list[str]:
    """The names of what a Bayesian layer has beside its plain one: the noise on weights, or gates and their noise."""
    return [f"{name}.{own}" for name, layer in bayesian_layers(model).items()
            for own, _ in layer.named_parameters() if own not in ("weight", "bias")]


@torch.no_grad()
def bake(model: nn.Sequential) -> nn.Sequential:
    """The plain network that computes what the Bayesian one does in evaluation, and shares nothing with it."""
    plain = copy.deepcopy(model)
    for name, layer in bayesian_layers(plain).items():
        setattr(plain, name, layer.bake())
    return plain


@torch.no_grad()
def log_alphas(model: nn.Module) -> dict[str, Tensor]:
    """By layer, log of noise over signal in a shape that broadcasts to its weight; what is above a threshold can go."""
    return {name: layer.log_alpha() for name, layer in bayesian_layers(model).items()}


def _chosen(layers: dict[str, nn.Linear | nn.Conv2d], groups: str, inputs: bool) -> list[str]:
    names = list(layers)
    if groups == "units":
        return names if inputs and isinstance(layers[names[0]], nn.Linear) else names[1:]
    return names[:-1] if groups == "neurons" else names
