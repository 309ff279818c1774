"""One network of the zoo: how it is made, what it is given, and what has to happen to it; and every number of it at random."""

import dataclasses
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

Inputs = tuple[Tensor, ...]
NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclasses.dataclass(frozen=True)
class Case:
    build: Callable[[], nn.Module]
    inputs: Callable[[int], Inputs]  # of a batch of that many examples, in float32
    whole: bool = False              # every stream can shrink, but the network's inputs and outputs
    cut: tuple[str, ...] = ()        # names of streams that have to shrink
    kept: Mapping[str, str] = dataclasses.field(default_factory=dict)  # by stream that may stay: a word that the reason has to have


def images(*shape: int) -> Callable[[int], Inputs]:
    return lambda n: (torch.randn(n, *shape),)


def tokens(length: int, n_words: int) -> Callable[[int], Inputs]:
    return lambda n: (torch.randint(n_words, (n, length)),)


def cast(inputs: Inputs, dtype: torch.dtype) -> Inputs:
    return tuple(value.to(dtype) if value.is_floating_point() else value for value in inputs)


@torch.no_grad()
def hostile(model: nn.Module, inputs: Inputs) -> nn.Module:
    """`model` itself, in float64 and evaluation, with no number that hides an error.

    Weights and biases are random, at a scale that leaves activations near one at any depth. Statistics of BatchNorm are
    those of `inputs`, moved and stretched at random, so that no activation is saturated and no unit is alike to another."""
    model.double().eval()
    for parameter in model.parameters():
        parameter.normal_(std=1.4 * parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.3)
    norms = [module for module in model.modules() if isinstance(module, BATCH_NORMS)]
    for module in model.modules():
        if isinstance(module, NORMS) and module.weight is not None:
            module.weight.add_(1)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().momentum = 1.0
    model(*cast(inputs, torch.float64))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval().momentum = momentum
        norm.running_mean.add_(0.3 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean))
        norm.running_var.mul_(torch.empty_like(norm.running_var).uniform_(0.5, 2))
    return model
