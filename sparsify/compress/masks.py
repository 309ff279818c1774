"""Masks on a plain network: zeroed weights, and silence for every unit that has lost all its inputs or all its readers."""

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from sparsify.compress.chain import Link, links
from sparsify.models import Select, describe, rebuild, weighted_layers
from sparsify.settings import InputError


class EmptyLayer(InputError):
    """Masks that leave nothing of a layer."""


def from_scores(scores: Mapping[str, Tensor], threshold: float) -> dict[str, Tensor]:
    """True = kept: irrelevance up to the threshold.  by layer, in any shape that broadcasts to its weight"""
    return {name: score <= threshold for name, score in scores.items()}


@torch.no_grad()
def apply(model: nn.Sequential, masks: Mapping[str, Tensor]) -> nn.Sequential:
    """A copy of `model` with the masked weights at zero and the dead units silent.

    A unit is dead if no weight comes in (what is left of it is a constant) or none goes out (nobody reads it). It gets zero
    weights, bias and normalisation, and is exactly zero after its activation. Raises EmptyLayer where one would lose all its weights."""
    masked = copy.deepcopy(model)
    layers = weighted_layers(masked)
    for name, mask in masks.items():
        layers[name].weight.mul_(mask)
    inner = [link for link in links(masked) if link.producer is not None and link.consumer is not None]
    for link in inner:  # forwards: who has no inputs feeds nobody
        _silence(masked, link, no_inputs(layers[link.producer].weight))
    for link in reversed(inner):  # backwards: who has no readers needs no inputs
        _silence(masked, link, ~is_read(link, layers[link.consumer].weight))
    for name, layer in layers.items():
        if not live_features(layer.weight).any():
            raise EmptyLayer(f"the masks would remove every weight of {name}; keep some of its {layer.weight.shape[0]} units "
                             "(a higher threshold, or a smaller prior.beta)")
    return masked


def hold_zeros(model: nn.Sequential) -> Callable[[], None]:
    """A function that puts the weights that are zero now back to zero, to be called after every training step."""
    weights = [layer.weight for layer in weighted_layers(model).values()]
    held = [(weight, weight != 0) for weight in weights if not weight.all()]

    @torch.no_grad()
    def hold() -> None:
        for weight, mask in held:
            weight.mul_(mask)
    return hold


@torch.no_grad()
def drawn_anew(model: nn.Sequential) -> nn.Sequential:
    """The network of `model`, weights that are zero and pixels that are not read included, with fresh weights where it has any.

    Those of a layer with zeros are drawn larger, so that its outputs start as large as those of a full one."""
    fresh = rebuild(describe(model)).to(next(model.parameters()).device)
    for name, layer in model.named_children():
        if isinstance(layer, Select):
            fresh.get_submodule(name).index.copy_(layer.index)
    for name, layer in weighted_layers(fresh).items():
        held = weighted_layers(model)[name].weight != 0
        layer.weight.mul_(held * (held.numel() / held.sum()).sqrt())
    return fresh


def no_inputs(weight: Tensor) -> Tensor:
    """(O, ...) -> (O,) bool"""
    return ~_any(weight.flatten(1), 1)


def live_features(weight: Tensor) -> Tensor:
    """The input features that some weight reads.  (O, I, ...) -> (I,) bool"""
    return _any(weight.flatten(2), 2).any(0) if weight.ndim > 2 else _any(weight, 0)


def _any(weight: Tensor, dim: int) -> Tensor:
    """weight.any(dim): a value that is not zero makes an extreme that is not, and extremes are found several times as fast."""
    return (weight.amax(dim) != 0) | (weight.amin(dim) != 0)


def is_read(link: Link, consumer_weight: Tensor) -> Tensor:
    """The producer's units that the consumer reads at all.  -> (n_units,) bool"""
    read = torch.zeros(link.n_units, dtype=torch.bool, device=consumer_weight.device)
    read[link.unit.to(read.device)[live_features(consumer_weight)]] = True
    return read


def _silence(model: nn.Sequential, link: Link, dead: Tensor) -> None:
    if not dead.any():
        return
    producer, consumer = model.get_submodule(link.producer), model.get_submodule(link.consumer)
    norms, alive = [model.get_submodule(name) for name in link.norms], ~dead
    for tensor in (producer.weight, producer.bias, *(part for norm in norms for part in (norm.weight, norm.bias, norm.running_mean))):
        if tensor is not None:
            tensor.mul_(alive.reshape(-1, *[1] * (tensor.ndim - 1)))  # by zero: much faster than filling by index
    consumer.weight.mul_(alive[link.unit.to(dead.device)].reshape(-1, *[1] * (consumer.weight.ndim - 2)))
