"""Rules of products: by a weight, whose columns read units and whose rows write them; and of two activations."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sparsify.structure import heads
from sparsify.structure.units import along, core, line, nothing, tidy, varies, varies_beside
from sparsify.structure.walk import Labels, Part, Walk

Lines = tuple[str, int, Tensor]  # a tensor, its dimension, and the nodes of what stands there


def lines(walk: Walk, weight: Part, dim: int) -> Lines | None:
    """Which dimension of the parameter stands behind dimension `dim` of a weight that may have been moved about; None: no one of them."""
    shape = walk.tensors[weight.name].shape
    if weight.position is None:
        return weight.name, dim, walk.entries(weight.name, dim)
    places = torch.unravel_index(line(weight.position, dim), shape)
    moving = [each for each, place in enumerate(places) if len(place.unique()) > 1]
    if not moving and len(shape) == weight.position.ndim:
        moving = [dim]
    if len(moving) != 1:
        return None
    return weight.name, moving[0], walk.entries(weight.name, moving[0])[places[moving[0]]]


def by_weight(walk: Walk, x: Any, weight: Any, bias: Any, axis: int, row_dim: int, column_dim: int, out_axis: int) -> Any:
    """The columns of the weight read what lies along `axis`, its rows write what lies along `out_axis`."""
    shape, labels = walk.shape(), walk.labels(x)
    rows = lines(walk, weight, row_dim) if isinstance(weight, Part) else None
    columns = lines(walk, weight, column_dim) if isinstance(weight, Part) else None
    if rows is None or columns is None:
        walk.freeze((Labels(labels), bias), f"multiplied by a weight that is computed ({walk.where()})")
        return Labels(nothing(shape))
    (name, row_at, row), (_, column_at, column) = rows, columns
    walk.writes(name, row_at)
    walk.reads(name, column_at)
    walk.uses_weight(name, out_axis)
    if isinstance(walk.model.get_submodule(name.rpartition(".")[0]), nn.MultiheadAttention):
        reason = f"nn.MultiheadAttention fixes its widths ({name.rpartition('.')[0]})"
        walk.freeze((Labels(labels), Labels(row)), reason)
    axis %= labels.ndim
    elsewhere = varies_beside(labels, axis)
    if elsewhere and not walk.units.all_frozen(labels):
        if not varies(labels, axis):  # a product along places: every unit by itself
            walk.units.freeze(torch.cat([row, column]), f"acts on places, not on units ({walk.where()})")
            return Labels(tidy(labels.narrow(axis, 0, 1).expand(shape)))
        walk.freeze(Labels(labels), f"units and places are mixed where {walk.where()} reads them")
    if elsewhere:
        walk.units.freeze(column, f"reads places of many units ({walk.where()})")
    else:
        walk.tie_or_freeze(line(labels, axis), column, f"read beside what is no unit ({walk.where()})")
    if bias is not None:
        walk.tie_or_freeze(walk.labels(bias).reshape(-1).expand(row.shape), row, f"its bias is computed ({walk.where()})")
    return Labels(along(row, out_axis % len(shape), shape))


def linear(walk: Walk, x: Any, weight: Any, bias: Any = None) -> Any:
    return by_weight(walk, x, weight, bias, -1, 0, 1, -1)


def addmm(walk: Walk, bias: Any, x: Any, weight: Any, **kwargs: Any) -> Any:
    product = matmul(walk, x, weight)
    walk.tie_or_freeze(walk.labels(bias, walk.shape()).reshape(-1), product.at.reshape(-1), f"its bias is computed ({walk.where()})")
    return product


def matmul(walk: Walk, x: Any, other: Any, **kwargs: Any) -> Any:
    if isinstance(other, Part) and len(other.shape) == 2:
        return by_weight(walk, x, other, None, -1, 1, 0, -1)
    if isinstance(x, Part) and len(x.shape) == 2 and walk.labels(other).ndim > 1:
        return by_weight(walk, other, x, None, -2, 0, 1, -2)
    one, two, shape = walk.labels(x), walk.labels(other), walk.shape()
    if one.ndim < 2 or two.ndim < 2:
        walk.freeze((Labels(one), Labels(two)), f"a product with a vector ({walk.where()})")
        return Labels(nothing(shape))
    if varies(one, -1) or varies(two, -2):
        return Labels(_tie_along(walk, one, two.transpose(-1, -2)))
    heads.tie(walk, two)
    return Labels(_passed(walk, one.narrow(-1, 0, 1), two.narrow(-2, 0, 1), shape))


def _tie_along(walk: Walk, one: Tensor, two: Tensor) -> Tensor:
    """The units that two activations are summed over leave as pairs; all of a head together, where its module counts heads.

    (..., M, K), (..., N, K) -> (..., M, N)"""
    shape = walk.shape()
    if varies(one, -2) or varies(two, -2):
        walk.freeze((Labels(one), Labels(two)), f"a product of units with units ({walk.where()})")
        return nothing(shape)
    together = heads.tie(walk, one)
    if together is not None and heads.tie(walk, two) is not None:
        return together.expand(shape)
    walk.read_by_other(one, "product")
    walk.read_by_other(two, "product")
    first, second = torch.broadcast_tensors(one.select(-2, 0), two.select(-2, 0))
    first, second = walk.units.find(first).reshape(-1), walk.units.find(second).reshape(-1)
    pairs = torch.stack([first, second]).unique(dim=1)
    walk.tie_or_freeze(pairs[0], pairs[1], f"a product with what is no unit ({walk.where()})")
    return nothing(shape)


def _passed(walk: Walk, one: Tensor, two: Tensor, shape: torch.Size) -> Tensor:
    """Neither has units along what is summed: those of the one go on, if the other has none that could leave, or the same.

    (..., M, 1), (..., 1, N)"""
    first, second = (walk.units.find(each.expand(*shape[:-2], *each.shape[-2:])) for each in (one, two))
    empty = [walk.units.all_frozen(each) for each in (first, second)]
    if not any(empty) and not bool((core(first) == core(second)).all()):
        walk.freeze((Labels(first), Labels(second)), f"a product of units with units ({walk.where()})")
        return nothing(shape)
    return tidy((second if empty[0] else first).expand(shape))


def attention(walk: Walk, query: Any, key: Any, value: Any, mask: Any = None, *args: Any, scale: float | None = None, **kwargs: Any) -> Any:
    """Products over a head's width tie query and key; the values' units go on.  (..., T, E), (..., S, E), (..., S, V) -> (..., T, V)"""
    q, k, v = (walk.labels(each) for each in (query, key, value))
    if kwargs.get("enable_gqa"):
        walk.freeze((Labels(q), Labels(k), Labels(v)), f"attention whose heads share keys ({walk.where()})")
    if scale is None and heads.of(walk, q) is None:
        walk.freeze((Labels(q), Labels(k)), f"attention divides by the width of its heads ({walk.where()})")
    _tie_along(walk, q, k)
    heads.tie(walk, v)
    if varies(v, -2):
        walk.freeze(Labels(v), f"attention over units ({walk.where()})")
        return Labels(nothing(walk.shape()))
    return Labels(walk.units.find(tidy(v.narrow(-2, 0, 1).expand(walk.shape()))))


def convolution(walk: Walk, x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, *rest: Any) -> Any:
    return _convolution(walk, x, weight, bias, rest[0] if rest else 1, transposed=False)


def transposed(walk: Walk, x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
               groups: int = 1, *rest: Any) -> Any:
    return _convolution(walk, x, weight, bias, groups, transposed=True)


def general(walk: Walk, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, is_transposed: bool, output_padding: Any,
            groups: int) -> Any:
    return _convolution(walk, x, weight, bias, groups, is_transposed)


def _convolution(walk: Walk, x: Any, weight: Any, bias: Any, groups: int, transposed: bool) -> Any:
    labels, shape = walk.labels(x), walk.shape()
    axis = 1 if not isinstance(weight, Part) or labels.ndim == len(weight.shape) else 0
    row_dim, column_dim = (1, 0) if transposed else (0, 1)
    if groups == 1:
        return by_weight(walk, x, weight, bias, axis, row_dim, column_dim, axis)
    if not isinstance(weight, Part) or weight.position is not None:
        walk.freeze((Labels(labels), bias), f"a grouped convolution by a weight that is computed ({walk.where()})")
        return Labels(nothing(shape))
    if varies_beside(labels, axis):
        walk.freeze(Labels(labels), f"units and places are mixed where {walk.where()} reads them")
        labels = nothing(labels.shape)
    walk.uses_weight(weight.name, axis)
    inside = line(labels, axis)
    out = (_depthwise if groups == len(inside) else _grouped)(walk, weight.name, inside, groups, shape[axis], transposed)
    if bias is not None:
        walk.tie_or_freeze(walk.labels(bias).reshape(-1), out, f"its bias is computed ({walk.where()})")
    return Labels(along(out, axis, shape))


def _depthwise(walk: Walk, name: str, inside: Tensor, groups: int, n_out: int, transposed: bool) -> Tensor:
    """What comes in and what goes out are one unit.  (groups,) -> (n_out,)"""
    walk.writes(name, 0)
    kernels = walk.entries(name, 0)
    kernels = kernels.repeat_interleave(n_out // groups) if transposed else kernels
    walk.tie_or_freeze(inside.repeat_interleave(n_out // groups), kernels, f"read beside what is no unit ({walk.where()})")
    return kernels


def _grouped(walk: Walk, name: str, inside: Tensor, groups: int, n_out: int, transposed: bool) -> Tensor:
    """The same place of every group leaves together.  (C,) -> (n_out,)"""
    row_dim, column_dim = (1, 0) if transposed else (0, 1)
    walk.writes(name, row_dim)
    walk.reads(name, column_dim)
    rows, columns = walk.entries(name, row_dim), walk.entries(name, column_dim)
    if transposed:
        _together(walk, columns, groups)
        rows = rows.repeat(groups)
    else:
        _together(walk, rows, groups)
        columns = columns.repeat(groups)
    walk.tie_or_freeze(inside, columns, f"read beside what is no unit ({walk.where()})")
    return rows


def _together(walk: Walk, nodes: Tensor, groups: int) -> None:
    of_group = nodes.reshape(groups, -1)
    walk.units.tie(of_group[:1].expand_as(of_group).reshape(-1), of_group.reshape(-1))


def embedding(walk: Walk, weight: Any, indices: Any, *args: Any, **kwargs: Any) -> Any:
    """(V, D), (*) -> (*, D): the columns of the table are the units."""
    columns = lines(walk, weight, 1) if isinstance(weight, Part) else None
    if columns is None:
        return Labels(nothing(walk.shape()))
    walk.writes(*columns[:2])
    return Labels(along(columns[2], -1, walk.shape()))


def weight_norm(walk: Walk, direction: Any, length: Any, dim: int = 0) -> Any:
    """v g / |v|, a norm a row: zeros add nothing to it, so that rows and columns leave as those of a plain weight do."""
    if isinstance(direction, Part) and isinstance(length, Part) and direction.position is None and length.position is None:
        walk.units.tie(walk.entries(direction.name, dim), walk.entries(length.name, dim))
        walk.divides_by(direction.name, dim)
        return direction
    walk.freeze((direction, length), f"a weight that is computed ({walk.where()})")
    return Labels(nothing(walk.shape()))


RULES: dict[str, Callable[..., Any]] = {
    "linear": linear, "addmm": addmm, "matmul": matmul, "mm": matmul, "bmm": matmul, "scaled_dot_product_attention": attention,
    **{f"conv{n}d": convolution for n in (1, 2, 3)}, **{f"conv_transpose{n}d": transposed for n in (1, 2, 3)},
    "convolution": general, "_convolution": general, "embedding": embedding, "_weight_norm": weight_norm}
