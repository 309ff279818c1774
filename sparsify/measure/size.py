"""Counts on a plain network: units, weights, multiply-accumulates, bytes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sparsify.models import Select, weighted_layers


@dataclass(frozen=True)
class Size:
    """Weights are those of linear and convolutional layers, without biases."""

    weights: dict[str, int]  # by layer
    nonzeros: dict[str, int]  # by layer
    hidden: dict[str, int]  # units by layer, of every layer but the last
    inputs: int  # features that the first layer reads
    macs: int  # multiply-accumulates of one image, zeros included
    parameters: int
    bytes: int  # of parameters and buffers


def size(model: nn.Sequential, input_shape: Sequence[int]) -> Size:
    """input_shape: (C, H, W) of one image"""
    weights = {name: layer.weight.detach() for name, layer in weighted_layers(model).items()}
    return Size(
        weights={name: weight.numel() for name, weight in weights.items()},
        nonzeros={name: int(weight.count_nonzero()) for name, weight in weights.items()},
        hidden={name: weights[name].shape[0] for name in list(weights)[:-1]},
        inputs=_inputs(model, input_shape),
        macs=sum(places * weights[name].numel() for name, places in output_places(model, input_shape).items()),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        bytes=sum(tensor.numel() * tensor.element_size() for tensor in [*model.parameters(), *model.buffers()]))


def reduction(before: Size, after: Size) -> dict[str, float | dict[str, float]]:
    """What is left, and what has gone: counts, shares in percent, compression as a ratio to what there was."""
    total = {key: sum(getattr(before, key).values()) for key in ("weights", "hidden")}
    left = {key: sum(getattr(after, key).values()) for key in ("weights", "nonzeros", "hidden")}
    return {
        "hidden_left": left["hidden"],
        "hidden_total": total["hidden"],
        "hidden_removed_percent": 100 * (1 - left["hidden"] / total["hidden"]),
        "inputs_left": after.inputs,
        "inputs_removed_percent": 100 * (1 - after.inputs / before.inputs),
        "weights_left": left["weights"],
        "weights_total": total["weights"],
        "nonzeros_left": left["nonzeros"],
        "compression_dense": total["weights"] / left["weights"],
        "compression_nonzeros": total["weights"] / left["nonzeros"],
        "macs_left": after.macs,
        "macs_total": before.macs,
        "macs_ratio": before.macs / after.macs,
        "sparsity_percent": {name: 100 * (1 - after.nonzeros[name] / count) for name, count in before.weights.items()},
    }


@torch.no_grad()
def output_places(model: nn.Sequential, input_shape: Sequence[int]) -> dict[str, int]:
    """By weighted layer, how often an image uses each weight: 1 for a linear layer, H' W' for a convolution."""
    places: dict[str, int] = {}
    layers = weighted_layers(model)
    hooks = [layer.register_forward_hook(lambda _, __, output, name=name: places.update({name: output[0, 0].numel()}))
             for name, layer in layers.items()]
    training = model.training
    try:
        model.eval()(next(model.parameters()).new_zeros(1, *input_shape))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return places


def weight_costs(model: nn.Sequential, input_shape: Sequence[int], by: str) -> dict[str, float]:
    """By layer, what one weight costs, scaled so that the mean weight costs 1: for `by` "weights" all the same, for "macs" as often as
    an image uses it, for "units" its share of the unit that it leads into, so that all units cost the same."""
    weights = {name: layer.weight for name, layer in weighted_layers(model).items()}
    if by == "macs":
        costs = output_places(model, input_shape)
    else:
        costs = {name: 1 / weight[0].numel() if by == "units" else 1 for name, weight in weights.items()}
    mean = sum(costs[name] * weight.numel() for name, weight in weights.items()) / sum(weight.numel() for weight in weights.values())
    return {name: costs[name] / mean for name in weights}


def unit_costs(model: nn.Sequential, input_shape: Sequence[int], by: str) -> dict[str, Tensor]:
    """By layer, what one of the features that it reads costs: 1 for `by` "units", else the weights into it and out of it.  -> (I,)

    A unit that is flattened into several features shares the weights into it among them."""
    layers, cost = weighted_layers(model), weight_costs(model, input_shape, by)
    costs, previous = {}, None
    for name, layer in layers.items():
        n_features = layer.weight.shape[1]
        total = cost[name] * layer.weight[:, 0].numel()
        if previous is not None:
            units, fan_in = layers[previous].weight.shape[0], layers[previous].weight[0].numel()
            total += cost[previous] * fan_in * units / n_features
        costs[name] = torch.full((n_features,), 1.0 if by == "units" else total)
        previous = name
    return costs


def _inputs(model: nn.Sequential, input_shape: Sequence[int]) -> int:
    for layer in model.children():
        if isinstance(layer, Select):
            return layer.out_features
        if isinstance(layer, nn.Linear | nn.Conv2d):
            break
    channels, height, width = input_shape
    return channels * height * width
