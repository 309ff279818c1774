"""Which entries of which tensors a unit has, by brute force: make one row's output NaN, and see which inputs of which layers are.

It knows nothing of graphs or labels. It sees through every layer that keeps its channels apart, so it answers for networks whose
units meet in linear layers and convolutions alone: not for attention, nor for a gate that all channels share."""

import copy
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from tests.structure.zoo import cast

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
ALONG = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.PReLU)  # a vector with an entry a channel
Entry = tuple[str, int, int]  # a tensor, a dimension, a place: the entry of a unit
Unit = frozenset[Entry]


def depthwise(layer: nn.Module) -> bool:
    """A group a channel: what goes in and all that comes out of it are one unit."""
    return isinstance(layer, CONVOLUTIONS) and 1 < layer.groups == layer.in_channels


def contracts(layer: nn.Module) -> bool:
    return isinstance(layer, (nn.Linear, *CONVOLUTIONS)) and not depthwise(layer)


def rows(name: str, layer: nn.Module) -> list[list[Entry]]:
    """The entries of a layer's every output: those that one output has in the weight and bias of a grouped layer too."""
    if isinstance(layer, nn.Linear):
        places, dim = range(layer.out_features), 0
    elif layer.transposed:  # (I, O / groups, K, K): a row serves every group
        places, dim = [row % (layer.out_channels // layer.groups) for row in range(layer.out_channels)], 1
    else:
        places, dim = range(layer.out_channels), 0
    entries: list[list[Entry]] = [[(f"{name}.weight", dim, place)] for place in places]
    if layer.bias is not None:
        for row, each in enumerate(entries):
            each.append((f"{name}.bias", 0, row))
    return entries


def column(name: str, layer: nn.Module, place: int) -> list[Entry]:
    """The entries by which a layer takes its input number `place`."""
    if depthwise(layer):
        each = layer.out_channels // layer.in_channels
        made = list(range(each * place, each * (place + 1)))
        kernels = [(f"{name}.weight", 0, row) for row in ([place] if layer.transposed else made)]
        return kernels + ([(f"{name}.bias", 0, row) for row in made] if layer.bias is not None else [])
    if isinstance(layer, CONVOLUTIONS):
        return [(f"{name}.weight", 0, place) if layer.transposed else (f"{name}.weight", 1, place % (layer.in_channels // layer.groups))]
    if isinstance(layer, nn.Linear):
        return [(f"{name}.weight", 1, place)]
    entries = [f"{name}.{key}" for key, value in (layer.state_dict() | dict(layer.named_parameters())).items()
               if value.ndim == 1 and len(value) > 1]
    return [(entry, 0, place) for entry in entries]


def _width(layer: nn.Module) -> int:
    return layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels


class Classes:
    """Which entries belong together."""

    def __init__(self) -> None:
        self.parent: dict[object, object] = {}

    def find(self, entry: object) -> object:
        self.parent.setdefault(entry, entry)
        while self.parent[entry] != entry:
            entry = self.parent[entry]
        return entry

    def join(self, entries: Iterable[object]) -> None:
        first, *rest = (self.find(entry) for entry in entries)
        for other in rest:
            self.parent[self.find(other)] = self.find(first)

    def all(self) -> list[set]:
        found: dict[object, set] = {}
        for entry in self.parent:
            found.setdefault(self.find(entry), set()).add(entry)
        return list(found.values())


@torch.no_grad()
def units(model: nn.Module, inputs: tuple[Tensor, ...]) -> set[Unit]:
    """Every unit that a layer of `model` writes and that the network's output does not show, given `inputs` of one example."""
    model = copy.deepcopy(model).double().eval()
    layers = {name: layer for name, layer in model.named_modules() if contracts(layer) or depthwise(layer) or isinstance(layer, ALONG)}
    classes, written = Classes(), set()
    for name, layer in layers.items():
        if contracts(layer):
            made = rows(name, layer)
            written |= {entries[0] for entries in made}
            for entries, reached in zip(made, _reached(model, layers, layer, len(made), cast(inputs, torch.float64)), strict=True):
                classes.join([*entries, *reached])
            for lines in (made, [column(name, layer, place) for place in range(_width(layer))]):
                each = len(lines) // getattr(layer, "groups", 1)  # groups stay equal: the same place of every one leaves
                for place in range(each):
                    classes.join(entry for entries in lines[place::each] for entry in entries)
    return {frozenset(found) for found in classes.all() if "output" not in found and found & written}


def _reached(model: nn.Module, layers: dict[str, nn.Module], writer: nn.Module, n_rows: int, inputs: tuple[Tensor, ...]) -> list[set]:
    """By row of the writer, what is NaN if that row's output is: in a batch of one example again and again, another row in each."""
    reached: list[set] = [set() for _ in range(n_rows)]

    def write(layer: nn.Module, _: tuple, output: Tensor) -> Tensor:
        output = output.clone()
        for row in range(n_rows):
            output[row].select(-1 if isinstance(layer, nn.Linear) else 0, row).fill_(torch.nan)
        return output

    def read(name: str) -> Callable[..., tuple[Tensor, ...] | None]:
        def hook(layer: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
            channels = given[0].movedim(-1 if isinstance(layer, nn.Linear) else 1, 1).unsqueeze(-1).flatten(2)  # (rows, C, places)
            for row, place in channels.isnan().any(2).nonzero().tolist():
                reached[row].update(column(name, layer, place))
            return (given[0].nan_to_num(),) if contracts(layer) else None
        return hook

    hooks = [writer.register_forward_hook(write), *(layer.register_forward_pre_hook(read(name)) for name, layer in layers.items())]
    output = model(*(value.expand(n_rows, *value.shape[1:]) for value in inputs))
    for hook in hooks:
        hook.remove()
    for value in output.values() if isinstance(output, dict) else [output]:
        for row in value.flatten(1).isnan().any(1).nonzero().flatten().tolist():
            reached[row].add("output")
    return reached
