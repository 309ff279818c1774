"""Physical removal: the zeros of a plain network decide which units it can do without, and a smaller one is built.

It does not matter where the zeros come from. A unit goes if nobody reads it, or if it is exactly zero after its activation;
both leave the logits as they were. Input features that nobody reads are left out by index, as there is no layer to shrink."""

import copy
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsify.compress.chain import ACTIVATIONS, NORMS, Link, links
from sparsify.compress.masks import is_read, live_features, no_inputs
from sparsify.models import Select, constructor_arguments, weighted_layers
from sparsify.settings import InputError


@torch.no_grad()
def compact(model: nn.Sequential, inputs: bool = True) -> nn.Sequential:
    """A new, smaller network with the logits of `model`, which is not changed.

    inputs: whether input pixels that nobody reads are left out too (a first layer that is linear).
    Raises InputError where a layer would lose all its units."""
    chain, layers = links(model), weighted_layers(model)
    kept_units = [_kept_units(model, link, inputs) for link in chain[:-1]]
    new: dict[str, nn.Module] = {}
    for before, units, after in zip(chain[:-1], kept_units, [*kept_units[1:], None], strict=True):
        name = before.consumer
        weight = layers[name].weight
        features = units[before.unit]  # of the features that come in, those whose unit stays
        if isinstance(layers[name], nn.Linear) and (before.producer is not None or inputs):
            features &= live_features(weight).cpu()
        new.update(_selected(before, units, features, weight.device))
        rows = torch.ones(weight.shape[0], dtype=torch.bool) if after is None else after
        new[name] = _shrunk(layers[name], rows, features)
        if before.producer is not None:
            new.update((norm, _shrunk_norm(model.get_submodule(norm), units)) for norm in before.norms)
    return nn.Sequential(_in_order(model, chain, new)).train(model.training)


def _kept_units(model: nn.Sequential, link: Link, inputs: bool) -> Tensor:
    """-> (n_units,) bool, on the CPU"""
    consumer = model.get_submodule(link.consumer)
    if link.producer is None and not (inputs and isinstance(consumer, nn.Linear)):
        return torch.ones(link.n_units, dtype=torch.bool)
    kept = is_read(link, consumer.weight)
    if link.producer is not None:
        kept &= ~_silent(model, link)
    if not kept.any():
        raise InputError(f"{link.producer or 'the input'} would lose all its {link.n_units} units; keep at least one")
    return kept.cpu()


def _silent(model: nn.Sequential, link: Link) -> Tensor:
    """The producer's units that are zero whatever the input.  -> (n_units,) bool"""
    producer = model.get_submodule(link.producer)
    constant = producer.weight.new_zeros(link.n_units) if producer.bias is None else producer.bias
    for layer in (model.get_submodule(name) for name in link.between):
        if type(layer) in ACTIVATIONS:
            constant = layer(constant)
        elif type(layer) in NORMS:
            constant = F.batch_norm(constant[None], layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=layer.eps)[0]
    return no_inputs(producer.weight) & (constant == 0)


def _selected(link: Link, units: Tensor, features: Tensor, device: torch.device) -> dict[str, nn.Module]:
    """The Select that stands before the consumer, if what is left of its input has gaps; under the name of an older one."""
    if link.producer is None:
        index, flattened = link.unit[features], link.n_units  # the input itself stays as it is
    else:
        rank = units.long().cumsum(0) - 1  # of a unit among the kept
        index, flattened = (rank[link.unit] * link.places + link.place)[features], int(units.sum()) * link.places
    if torch.equal(index, torch.arange(flattened)):
        return {}
    select = Select(flattened, len(index)).to(device)
    select.index.copy_(index)
    return {link.select or f"{link.consumer}_inputs": select}


def _shrunk(layer: nn.Linear | nn.Conv2d, rows: Tensor, features: Tensor) -> nn.Linear | nn.Conv2d:
    kind, noun = type(layer), "features" if isinstance(layer, nn.Linear) else "channels"
    sizes = {f"out_{noun}": int(rows.sum()), f"in_{noun}": int(features.sum())}
    small = kind(**constructor_arguments(layer, kind) | dict.fromkeys(sizes, 1))  # full size would be drawn at random, for nothing
    rows, features = (mask.nonzero().flatten().to(layer.weight.device) for mask in (rows, features))
    small.weight = nn.Parameter(layer.weight.index_select(0, rows).index_select(1, features))
    if layer.bias is not None:
        small.bias = nn.Parameter(layer.bias[rows])
    for name, count in sizes.items():
        setattr(small, name, count)
    return small


def _shrunk_norm(norm: nn.BatchNorm1d | nn.BatchNorm2d, units: Tensor) -> nn.BatchNorm1d | nn.BatchNorm2d:
    small = type(norm)(int(units.sum()), norm.eps, norm.momentum, norm.affine, norm.track_running_stats).to(norm.running_mean)
    units = units.to(norm.running_mean.device)
    small.load_state_dict({key: value[units] if value.ndim else value for key, value in norm.state_dict().items()})
    return small


def _in_order(model: nn.Sequential, chain: list[Link], new: dict[str, nn.Module]) -> OrderedDict[str, nn.Module]:
    """The layers as they stood, with each new Select directly before its consumer."""
    select_of = {link.consumer: link.select or f"{link.consumer}_inputs" for link in chain[:-1]}
    ordered: OrderedDict[str, nn.Module] = OrderedDict()
    for name, layer in model.named_children():
        if type(layer) is Select:
            continue
        if select_of.get(name) in new:
            ordered[select_of[name]] = new[select_of[name]]
        ordered[name] = new[name] if name in new else copy.deepcopy(layer)
    return ordered
