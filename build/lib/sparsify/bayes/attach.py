"""Hangs groups, noise and gates on the layers of a network, by what the prior groups: see coverage.py for what is chosen."""

from collections.abc import Callable, Collection
from typing import TypeAlias

import torch
from torch import Tensor, nn

from sparsify.bayes.costs import group_costs
from sparsify.bayes.coverage import WeightTensors
from sparsify.bayes.gates import Gate, GatedInput, Pass
from sparsify.bayes.groups import Neurons, Weights
from sparsify.bayes.layers import Layer, Transposed, input_dim, start_noise
from sparsify.bayes.priors import PriorSettings
from sparsify.structure import Slot, Structure, unit_costs

Attach: TypeAlias = Callable[[nn.Module, Structure, Collection[str], PriorSettings], None]


def attach_weights(twin: nn.Module, structure: Structure, chosen: Collection[str], settings: PriorSettings) -> None:
    """chosen: names of weight tensors"""
    weights = WeightTensors(structure, twin)
    layers = {tensor: _layer(weights, tensor) for tensor in chosen}
    units = {tensor: layer.weight.shape[weights.neurons_lie_in(tensor)] for tensor, layer in layers.items()}
    members = {tensor: (units[tensor], {tensor: layer.weight.numel() // units[tensor]}) for tensor, layer in layers.items()}
    costs = group_costs(structure, twin, settings.kl_weight, members, weights.neurons_lie_in)
    for tensor, layer in layers.items():
        start_noise(layer, weights.neurons_lie_in(tensor), settings.initial_alpha)
        _hang(layer, "group", Weights(tensor, layer, settings, costs[tensor]))


def attach_neurons(twin: nn.Module, structure: Structure, chosen: Collection[str], settings: PriorSettings) -> None:
    """chosen: names of streams"""
    weights, streams = WeightTensors(structure, twin), [structure.streams[name] for name in chosen]
    layers = {slot.tensor: _layer(weights, slot.tensor) for stream in streams for slot in stream.writers}
    members = {stream.name: (stream.size, {slot.tensor: layers[slot.tensor].weight.select(slot.dim, 0).numel() * slot.index.shape[1]
                                           for slot in stream.writers}) for stream in streams}
    costs = group_costs(structure, twin, settings.kl_weight, members, weights.neurons_lie_in)
    for tensor, layer in layers.items():
        start_noise(layer, weights.neurons_lie_in(tensor), settings.initial_alpha)
    for stream in streams:
        writers = [(layers[slot.tensor], slot.dim, _unless_in_order(slot, weights)) for slot in stream.writers]
        _hang(writers[0][0], "group", Neurons(stream.name, stream.size, writers, settings, costs[stream.name]))


def attach_gates(twin: nn.Module, structure: Structure, chosen: Collection[str], settings: PriorSettings) -> None:
    """chosen: names of streams"""
    weights, costs, current = WeightTensors(structure, twin), unit_costs(structure, twin, settings.kl_weight), Pass()
    read: dict[str, list[tuple[Gate, Slot]]] = {}  # by tensor
    for stream in (structure.streams[name] for name in chosen):
        layer = _layer(weights, stream.readers[0].tensor)
        gate = Gate(stream.name, stream.size, current, layer.weight.detach(), settings, costs[stream.name])
        _hang(layer, "gate", gate)
        for slot in stream.readers:
            read.setdefault(slot.tensor, []).append((gate, slot))
    for tensor, parts in read.items():
        layer = _layer(weights, tensor)
        _hang(layer, "gated_input", GatedInput(layer, [gate for gate, _ in parts], _gate_of_each_feature(layer, parts)))
    current.watch(twin)


ATTACH: dict[str, Attach] = {"weights": attach_weights, "neurons": attach_neurons, "units": attach_gates}


def _gate_of_each_feature(layer: Layer, parts: list[tuple[Gate, Slot]]) -> Tensor:
    """Which gate stands at each feature that `layer` reads, counted through all of `parts`; -1: none.  -> (F,)"""
    gate_of_place = torch.full((layer.weight.shape[input_dim(layer)],), -1)
    before = 0
    for gate, slot in parts:
        gate_of_place[slot.index] = torch.arange(before, before + len(gate.mean))[:, None]
        before += len(gate.mean)
    # The weight has the places of one group of a convolution, whose like in the other groups are of the same unit.
    return gate_of_place if isinstance(layer, nn.Linear | Transposed) else gate_of_place.repeat(layer.groups)


def _unless_in_order(slot: Slot, weights: WeightTensors) -> Tensor | None:
    return None if torch.equal(slot.index.flatten(), torch.arange(weights.size(slot))) else slot.index


def _layer(weights: WeightTensors, tensor: str) -> Layer:
    layer = weights.layer(tensor)
    if isinstance(layer, str):
        raise ValueError(f"not one of those that can be chosen: {layer}")
    return layer


def _hang(layer: Layer, name: str, child: nn.Module) -> None:
    """`child` in `layer` as `name`, or `name`_2, ... where there is one; in the mode of `layer`."""
    n, free = 1, name
    while hasattr(layer, free):
        n, free = n + 1, f"{name}_{n + 1}"
    layer.add_module(free, child.train(layer.training))
