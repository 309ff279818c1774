"""Attention heads: where a module keeps their number (self.num_heads), a head leaves whole, and the number with it.

The units of a head are the rows of its queries, keys and values, and the columns that the output projection has for it."""

from torch import Tensor

from sparsify.structure.units import along, core, varies
from sparsify.structure.walk import Walk


def of(walk: Walk, labels: Tensor) -> int | None:
    """The dimension of heads, where the present module keeps their number under a name that says so.  (..., H, ..., T, D)"""
    varying = [dim for dim in range(labels.ndim - 2) if varies(labels, dim)]
    return varying[0] if len(varying) == 1 and labels.shape[varying[0]] in _numbers(walk).values() else None


def tie(walk: Walk, labels: Tensor) -> Tensor | None:
    """Makes all units of a head one.  (..., H, ..., T, D) -> its labels, the same all along T and D; None where there are no heads"""
    dim = of(walk, labels)
    if dim is None or varies(labels, -2):
        return None
    path, count, width = walk.layer()[0], labels.shape[dim], labels.shape[-1]
    for name, number in _numbers(walk).items():
        entry = (f"{path}.{name}".removeprefix("."), 0)
        if number == count and entry not in walk.found.nodes:
            walk.found.nodes[entry] = walk.units.new(count)
        elif number == count * width and entry not in walk.found.nodes:  # of all heads together, as all_head_size
            walk.found.nodes[entry] = walk.units.new(number)
    first = next(f"{path}.{name}".removeprefix(".") for name, number in _numbers(walk).items() if number == count)
    heads = walk.found.nodes[first, 0]
    for name, number in _numbers(walk).items():
        nodes = walk.found.nodes.get((f"{path}.{name}".removeprefix("."), 0))
        if nodes is not None:
            walk.units.tie(heads.repeat_interleave(number // count), nodes)
    whole = along(heads, dim, labels.shape)
    units = core(labels)
    walk.units.tie(whole[tuple(slice(size) for size in units.shape)].reshape(-1), units.reshape(-1))
    return walk.units.find(along(heads, dim, labels.narrow(-1, 0, 1).shape))


def _numbers(walk: Walk) -> dict[str, int]:
    """What the present module keeps as whole numbers under names with "head"."""
    path, _ = walk.layer()
    return {name: value for name, value in vars(walk.model.get_submodule(path)).items()
            if type(value) is int and "head" in name.lower() and value > 0}
