"""Operations that move elements about, and compute nothing: they execute themselves, on labels or on positions in a parameter."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sparsify.structure.units import NO_UNIT, nothing, tidy, varies
from sparsify.structure.walk import Labels, Part, Walk, flat

# Movements that copy; those that are views torch itself knows.
COPIES = (
    "cat", "concat", "concatenate", "stack", "hstack", "vstack", "roll", "flip", "repeat", "repeat_interleave", "tile", "pixel_shuffle",
    "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle", "rot90", "tril", "triu", "reshape", "flatten", "_unsafe_view",
    "unflatten", "broadcast_tensors", "meshgrid", "split", "split_with_sizes", "chunk", "tensor_split", "slice_scatter", "select_scatter",
    "numpy_T", "atleast_1d", "atleast_2d", "atleast_3d")


def moved(walk: Walk, *args: Any, **kwargs: Any) -> Any:
    tensors = [each for each in flat((args, kwargs)) if isinstance(each, Labels | Part | Tensor)]
    alone = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], Part) else None
    target = walk.op
    if target.overloadpacket in (torch.ops.aten.view, torch.ops.aten._unsafe_view):
        target = torch.ops.aten.reshape.default  # expanded labels have no view

    def places(value: Any) -> Any:
        if value is alone and alone is not None:
            return alone.positions
        return walk.labels(value) if isinstance(value, Labels | Part | Tensor) else value

    args, kwargs = _map((args, kwargs), places)
    return _wrapped(target(*args, **kwargs), alone)


def unfolded(walk: Walk, x: Any, *args: Any) -> Any:
    """Windows as columns, which torch does not make of whole numbers."""
    return Labels(tidy(walk.op(walk.labels(x).double(), *args).long()))


def _map(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_map(each, change) for each in value)
    if isinstance(value, dict):
        return {key: _map(each, change) for key, each in value.items()}
    return change(value)


def _wrapped(value: Any, part: Part | None) -> Any:
    if isinstance(value, list | tuple):
        return [_wrapped(each, part) for each in value]
    if not isinstance(value, Tensor):
        return value
    return Labels(tidy(value)) if part is None else Part(part.name, value.shape, value)


def picked(walk: Walk, x: Any, *args: Any) -> Any:
    """Elements chosen by an index. Units that are chosen one by one stay, as the index is a constant."""
    index = [each for each in flat(args) if isinstance(each, Tensor | Labels)]
    if isinstance(x, Part):
        if any(isinstance(each, Labels) for each in index):
            return Labels(nothing(walk.shape()))
        return Part(x.name, walk.shape(), walk.op(x.positions, *args))
    labels = walk.labels(x)
    if any(isinstance(each, Labels) for each in index):
        walk.freeze(Labels(labels), f"picked by an index that depends on the data ({walk.where()})")
        return Labels(nothing(walk.shape()))
    result = tidy(walk.op(labels, *args))
    packet = walk.op.overloadpacket
    by_index = [args[0]] if packet is not torch.ops.aten.index else [dim for dim, each in enumerate(args[0]) if each is not None]
    if any(varies(labels, dim) for dim in by_index):
        walk.freeze(Labels(labels), f"picked by an index ({walk.where()})")
    return Labels(result)


def padded(walk: Walk, x: Any, padding: list[int], *args: Any) -> Any:
    """Zeros beside places of the same unit belong to it; beside units they belong to none."""
    labels = walk.labels(x)
    constant = not args or args[0] in ("constant", None) or not isinstance(args[0], str)
    for number in range(len(padding) // 2):
        dim, before, after = labels.ndim - 1 - number, padding[2 * number], padding[2 * number + 1]
        if before == after == 0:
            continue
        if varies(labels, dim):
            if not constant:
                walk.freeze(Labels(labels), f"padded with other units ({walk.where()})")
            labels = tidy(torch.constant_pad_nd(labels, [0, 0] * number + [before, after], NO_UNIT))
        else:
            sizes = list(labels.shape)
            sizes[dim] += before + after
            labels = labels.narrow(dim, 0, 1).expand(sizes)
    return Labels(labels)


def _local(n_spatial: int | None) -> Callable[..., Any]:
    """Operations on neighbourhoods of the last dimensions, unit by unit: pools, interpolations."""
    def rule(walk: Walk, x: Any, *args: Any, **kwargs: Any) -> Any:
        labels = walk.labels(x)
        first = labels.ndim - n_spatial if n_spatial else 2
        if any(varies(labels, dim) for dim in range(first, labels.ndim)):
            walk.freeze(Labels(labels), f"{walk.op_name} over places of different units ({walk.where()})")
            return walk.each_output(lambda one: nothing(one.shape))
        for dim in range(first, labels.ndim):
            labels = labels.narrow(dim, 0, 1)
        return walk.each_output(lambda one: labels.expand(one.shape))
    return rule


POOLS = {f"{kind}_pool{n}d{more}": _local(n) for n in (1, 2, 3) for more in ("", "_with_indices")
         for kind in ("max", "avg", "adaptive_avg", "adaptive_max", "_adaptive_avg", "lp", "fractional_max")}
INTERPOLATIONS = ("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_bilinear2d", "upsample_linear1d",
                  "upsample_trilinear3d", "upsample_bicubic2d", "_upsample_bilinear2d_aa", "grid_sampler", "grid_sampler_2d")
RULES: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(COPIES, moved), "index": picked, "index_select": picked, "im2col": unfolded, "constant_pad_nd": padded, "pad": padded,
    **POOLS, **dict.fromkeys(INTERPOLATIONS, _local(None))}
