"""Slicing: which entries of which tensors stay, and a smaller copy of a network, of its own class, that has these alone."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from sparsify.compress.exact import NarrowLayerNorm, NarrowRMSNorm, PickingLinear
from sparsify.models.own import CUT
from sparsify.structure import Structure


@dataclass(frozen=True)
class Cut:
    """What of a network stays, as plain data."""

    keep: dict[str, dict[int, Tensor]] = field(default_factory=dict)  # by tensor and dimension, the entries that stay, in order
    norms: dict[str, int] = field(default_factory=dict)  # by path, the full width of LayerNorms and RMSNorms that have to know it
    picks: dict[str, Tensor] = field(default_factory=dict)  # by path of a linear layer, the features that it still reads


def cut_of(network: nn.Module) -> Cut:
    """What of its full-size class a network has; all of it, where nothing was removed."""
    cut = getattr(network, CUT, None)  # which `copy.deepcopy` takes along
    return cut if isinstance(cut, Cut) else Cut()


def plan(structure: Structure, model: nn.Module, alive: Mapping[str, Tensor]) -> Cut:
    """The cut that takes the units away that are not alive.  alive: by stream, (units,) bool; streams that are not named stay whole"""
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    slots = [slot for stream in structure.streams.values() for slot in stream.slots]
    counted = {slot.tensor: slot.index.numel() for slot in slots if slot.tensor not in shapes}  # numbers that a module keeps
    kept: dict[tuple[str, int], Tensor] = {}
    for name, units in alive.items():
        if structure.streams[name].fixed is None and not units.all():
            for slot in structure.streams[name].slots:
                size = counted[slot.tensor] if slot.tensor in counted else shapes[slot.tensor][slot.dim]
                mask = kept.setdefault((slot.tensor, slot.dim), torch.ones(size, dtype=torch.bool))
                mask[slot.index[~units].reshape(-1)] = False
    keep: dict[str, dict[int, Tensor]] = {}
    for (tensor, dim), mask in kept.items():
        keep.setdefault(tensor, {})[dim] = mask.nonzero().flatten()
    norms = {path: width for path, width in structure.norms.items() if f"{path}.weight" in keep}
    return Cut(keep, norms)


def alive_in(structure: Structure, network: nn.Module) -> dict[str, Tensor]:
    """By stream of the full-size network, which units a small one still has.  -> (units,) bool"""
    cut, alive = cut_of(network), {}
    for name, stream in structure.streams.items():
        alive[name] = torch.ones(stream.size, dtype=torch.bool)
        for slot in stream.slots:
            stays = cut.keep.get(slot.tensor, {}).get(slot.dim)
            if stays is None and not stream.writers and slot.module in cut.picks:
                stays = cut.picks[slot.module]
            if stays is not None:
                alive[name] &= torch.isin(slot.index, stays).all(1)
    return alive


@torch.no_grad()
def sliced(model: nn.Module, cut: Cut) -> nn.Module:
    """A copy of `model`, of its own class, with what `cut` keeps; nothing is shared with it. Large tensors are copied once, sliced."""
    state = model.state_dict(keep_vars=True)
    memo: dict[int, Tensor] = {}
    tensors = {name: dims for name, dims in cut.keep.items() if name in state}
    for name, dims in tensors.items():
        tensor = state[name]
        part = tensor.detach()
        for dim, index in dims.items():
            part = part.index_select(dim, index.to(part.device))
        memo[id(tensor)] = nn.Parameter(part, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else part
    small = copy.deepcopy(model, dict(memo))
    for name in cut.keep.keys() - state.keys():
        path, _, number = name.rpartition(".")
        setattr(small.get_submodule(path), number, len(cut.keep[name][0]))
    narrow = set(memo.values())
    for module in small.modules():  # a parametrised weight lies below the layer that it is the weight of
        if not narrow.isdisjoint([*module.parameters(), *module.buffers()]):
            _refit(module)
    for path, width in cut.norms.items():
        norm = small.get_submodule(path)
        if isinstance(norm, nn.LayerNorm):
            _replace(small, norm, NarrowLayerNorm(norm, width))
        elif isinstance(norm, nn.RMSNorm):
            _replace(small, norm, NarrowRMSNorm(norm, width))
    for path, index in cut.picks.items():
        linear = small.get_submodule(path)
        if isinstance(linear, nn.Linear):
            _replace(small, linear, PickingLinear(linear, index))
    setattr(small, CUT, _after(cut_of(model), cut))
    return small


def _after(first: Cut, second: Cut) -> Cut:
    """Both as one cut of the full-size network."""
    keep = {tensor: dict(dims) for tensor, dims in first.keep.items()}
    for tensor, dims in second.keep.items():
        own = keep.setdefault(tensor, {})
        own |= {dim: own[dim][index] if dim in own else index for dim, index in dims.items()}
    picks = first.picks | {path: first.picks[path][index] if path in first.picks else index for path, index in second.picks.items()}
    return Cut(keep, second.norms | first.norms, picks)


def _refit(module: nn.Module) -> None:
    """Sets the numbers that a layer of torch keeps about its tensors' shapes."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, _ConvNd):
        first, second = module.weight.shape[:2]
        transposed = isinstance(module, _ConvTransposeNd)
        if module.groups > 1 and module.groups == module.in_channels:  # depthwise
            module.groups = first if transposed else first * module.groups // module.out_channels
        module.in_channels, module.out_channels = (first, second * module.groups) if transposed else (second * module.groups, first)
    elif isinstance(module, _NormBase):
        module.num_features = len(next(tensor for tensor in (module.weight, module.running_mean) if tensor is not None))
    elif isinstance(module, nn.LayerNorm | nn.RMSNorm):
        module.normalized_shape = tuple(module.weight.shape)
    elif isinstance(module, nn.PReLU):
        module.num_parameters = module.weight.shape[0]
    elif isinstance(module, nn.Embedding | nn.EmbeddingBag):
        module.embedding_dim = module.weight.shape[1]


def _replace(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Wherever the old module stands, under every name that it has."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if child is old:
                setattr(parent, name, new)
