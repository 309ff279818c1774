"""Counts on any network: units, weights, multiply-accumulates, bytes."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from sparsify.measure.products import products
from sparsify.structure import Structure
from sparsify.structure.export import Example, arguments, evaluating, few

SIZES = ("units", "weights", "nonzeros", "macs")


@dataclass(frozen=True)
class Size:
    """Weights are those that the network multiplies by: of linear and convolutional layers, without biases."""

    weights: dict[str, int]  # by layer
    nonzeros: dict[str, int]  # by layer
    hidden: dict[str, int]  # units by the layer that first writes them, of all that can shrink
    inputs: int  # features that the first layers read
    macs: int  # multiply-accumulates of one example, zeros included
    parameters: int
    bytes: int  # of parameters and buffers


def size(network: nn.Module, structure: Structure, example: Example) -> Size:
    """structure: of the full-size network that this one is, or was cut from. example: what it is called with, one or more examples."""
    state = network.state_dict()
    read = [state[slot.tensor].shape[slot.dim] for stream in structure.streams.values() if not stream.writers for slot in stream.readers]
    return Size(
        weights={layer_of(name): state[name].numel() for name in structure.uses if name in state},
        nonzeros=nonzeros(network, structure),
        hidden=hidden(network, structure),
        inputs=max(read, default=_features(example)),
        macs=macs(network, example),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        bytes=sum(tensor.numel() * tensor.element_size() for tensor in [*network.parameters(), *network.buffers()]))


def nonzeros(network: nn.Module, structure: Structure) -> dict[str, int]:
    """By layer, its weights that are not zero; arguments as of `size`."""
    state = network.state_dict()
    return {layer_of(name): int(state[name].count_nonzero()) for name in structure.uses if name in state}


def hidden(network: nn.Module, structure: Structure) -> dict[str, int]:
    """By the layer that first writes them, the units of all that can shrink; arguments as of `size`."""
    state = network.state_dict()
    return {layer_of(name): state[name].shape[dim] for name, dim in structure.hidden().items()}


def layer_of(tensor: str) -> str:
    """fc1.weight -> fc1; a tensor of another name keeps it"""
    return tensor.removesuffix(".weight")


def macs(network: nn.Module, example: Example) -> int:
    """Multiply-accumulates of one example's pass: of every product, also of two activations. Warns of operations that it cannot count."""
    given = few(arguments(example), 1)
    first = next(network.parameters(), torch.zeros(()))
    given = tuple(each.to(first.device, first.dtype) if isinstance(each, torch.Tensor) and each.is_floating_point() else each
                  for each in given)
    n = next(len(each) for each in given if isinstance(each, torch.Tensor) and each.ndim)
    with evaluating(network):
        return products(network, given) // n


def count(network: nn.Module, structure: Structure, example: Example, by: str) -> int:
    """What `counted` says of its `size`, and nothing more: multiply-accumulates take a pass."""
    if by == "macs":
        return macs(network, example)
    if by == "weights":
        return sum(tensor.numel() for name, tensor in network.state_dict().items() if name in structure.uses)
    return total(hidden(network, structure) if by == "units" else nonzeros(network, structure))


def counted(size: Size, by: str) -> int:
    """by: units, weights, nonzeros, macs"""
    return size.macs if by == "macs" else total({"units": size.hidden, "weights": size.weights, "nonzeros": size.nonzeros}[by])


def counts(size: Size) -> dict[str, int]:
    """By all of SIZES."""
    return {by: counted(size, by) for by in SIZES}


def total(counts: Mapping[str, int]) -> int:
    return sum(counts.values())


def removed_percent(before: int, after: int) -> float:
    return 100 * (1 - after / before) if before else 0.0


def reduction(before: Size, after: Size) -> dict[str, float | dict[str, float]]:
    """What is left, and what has gone: counts, shares in percent, compression as a ratio to what there was."""
    units, weights = total(before.hidden), total(before.weights)
    return {
        "hidden_left": total(after.hidden),
        "hidden_total": units,
        "hidden_removed_percent": removed_percent(units, total(after.hidden)),
        "inputs_left": after.inputs,
        "inputs_removed_percent": removed_percent(before.inputs, after.inputs),
        "weights_left": total(after.weights),
        "weights_total": weights,
        "nonzeros_left": total(after.nonzeros),
        "compression_dense": weights / total(after.weights),
        "compression_nonzeros": weights / total(after.nonzeros),
        "macs_left": after.macs,
        "macs_total": before.macs,
        "macs_ratio": before.macs / after.macs,
        "sparsity_percent": {name: 100 * (1 - after.nonzeros[name] / count) for name, count in before.weights.items()},
    }


def _features(example: Example) -> int:
    """Of one example, in all."""
    return sum(each[0].numel() for each in arguments(example) if isinstance(each, torch.Tensor) and each.ndim)
