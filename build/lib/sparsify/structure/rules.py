"""The rule of every operation: contractions.py, norms.py, movement.py, and here the pointwise ones, reductions and the table."""

import operator
from collections.abc import Callable
from functools import cache, partial, reduce
from typing import Any, cast

import torch
from torch import Tensor, fx
from torch._ops import OpOverload

from sparsify.structure import contractions, movement, norms
from sparsify.structure.units import NO_UNIT, nothing, tidy, varies
from sparsify.structure.walk import Labels, Part, Walk, flat, name_of

Rule = Callable[..., Any]

# Pointwise by what they do, where torch's own tag does not say so.
POINTWISE = {"dropout", "feature_dropout", "alpha_dropout", "to", "_to_copy", "contiguous", "clone", "detach", "alias", "relu6", "hardtanh",
             "lift_fresh_copy", "type_as", "selu", "celu", "elu", "leaky_relu", "true_divide", "subtract", "multiply", "divide", "float",
             "_safe_softplus", "rrelu", "mish", "hardswish", "hardsigmoid", "silu", "square", "clamp", "clip", "where", "masked_fill",
             "softplus", "logsigmoid", "log_sigmoid", "threshold", "nan_to_num", "positive", "conj", "resolve_conj", "bernoulli"}
REDUCTIONS = {"mean", "sum", "amax", "amin", "prod", "var", "std", "logsumexp", "norm", "linalg_vector_norm", "all", "any", "median", "max",
              "min"}
OVER_ONE_DIMENSION = {"softmax", "log_softmax", "_softmax", "_log_softmax", "cumsum", "logcumsumexp", "cumprod", "sort", "topk", "argsort"}
SAME_UNITS = {"zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "new_zeros", "new_ones", "new_full",
              "new_empty"}
IGNORED = {"_assert_tensor_metadata", "_assert_scalar", "sym_constrain_range_for_size", "_assert_async"}


def apply(walk: Walk, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What an operation gives, by its rule; one that no unit has a part in is simply computed."""
    if node.target is operator.getitem:
        return args[0][args[1]]
    if not any(isinstance(each, Labels | Part) for each in flat((args, kwargs))):
        return _computed(node, args, kwargs)
    result = rule_for(node)(walk, *args, **kwargs)
    if args and isinstance(result, Labels) and isinstance(node.target, OpOverload) and node.target._schema.is_mutable:
        _written_in_place(walk, node.args[0], args[0], result)
    return result


def _written_in_place(walk: Walk, target: Any, before: Any, result: Labels) -> None:
    """Units written into what has other names, a tensor and its slices, are read by these names too, which do not know them: they stay."""
    if isinstance(target, fx.Node) and _has_other_names(target):
        strange = walk.units.find(walk.labels(before, result.at.shape)) != walk.units.find(result.at)
        walk.units.freeze(result.at[strange], f"written in place into a part of another tensor ({walk.where()})")


def _has_other_names(node: fx.Node) -> bool:
    def is_view(other: fx.Node) -> bool:
        return getattr(other.target, "is_view", False)

    if node.target is operator.getitem:  # of several, as chunk gives
        return _has_other_names(cast(fx.Node, node.args[0]))
    if is_view(node) or any(is_view(user) for user in node.users):
        return True
    written = isinstance(node.target, OpOverload) and node.target._schema.is_mutable and isinstance(node.args[0], fx.Node)
    return written and _has_other_names(cast(fx.Node, node.args[0]))


def rule_for(node: fx.Node) -> Rule:
    name = name_of(node.target)
    name = name if name in TABLE else name.removesuffix("_")
    if name in TABLE:
        return TABLE[name]
    if name in POINTWISE or _is_pointwise(name):
        return pointwise
    if getattr(node.target, "is_view", False):
        return viewed
    return no_rule


@cache
def _is_pointwise(name: str) -> bool:
    packet = getattr(torch.ops.aten, name, None)
    return packet is not None and any(torch.Tag.pointwise in getattr(packet, overload).tags for overload in packet.overloads())


def _computed(node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not callable(node.target) or isinstance(node.target, str):
        return None
    on_cpu = {key: torch.device("cpu") if key == "device" and value is not None else value for key, value in kwargs.items()}
    if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):  # the analysis draws nothing from torch's generator
        return torch.zeros(node.meta["val"].shape, dtype=node.meta["val"].dtype)
    result = node.target(*[torch.device("cpu") if isinstance(each, torch.device) else each for each in args], **on_cpu)
    return result.cpu() if isinstance(result, Tensor) else result


def pointwise(walk: Walk, *args: Any, **kwargs: Any) -> Any:
    """The units of the operands, element by element, are one. One factor for many units ties none of them: it stays."""
    operands = [each for each in flat((args, kwargs)) if isinstance(each, Labels | Part | Tensor)]
    moved = [each for each in operands if isinstance(each, Part)]
    if len(operands) == len(moved) == 1:
        return moved[0]  # elements of a parameter, each changed by itself
    shape = walk.shape()
    units = [walk.labels(each, shape) for each in operands if not isinstance(each, Tensor)]
    for constant in operands:
        if isinstance(constant, Tensor):
            for labels in units:
                _held_by_constant(walk, labels, constant)
    return Labels(reduce(partial(_united, walk), units, nothing(shape)))


def _held_by_constant(walk: Walk, labels: Tensor, constant: Tensor) -> None:
    """A plain tensor with an element a unit cannot be cut."""
    offset = labels.ndim - constant.ndim
    if any(constant.shape[dim - offset] > 1 and varies(labels, dim) for dim in range(offset, labels.ndim)):
        walk.units.freeze(labels, f"a constant with an element for each unit fixes them ({walk.where()})")


def _united(walk: Walk, one: Tensor, other: Tensor) -> Tensor:
    first, second = one, other
    for dim in range(one.ndim):
        if one.shape[dim] and not varies(one, dim) and not varies(other, dim):
            first, second = first.narrow(dim, 0, 1), second.narrow(dim, 0, 1)
    shape = first.shape
    first, second = walk.units.find(first).reshape(-1), walk.units.find(second).reshape(-1)
    both = (first != NO_UNIT) & (second != NO_UNIT) & (first != second)
    pairs = torch.stack([first[both], second[both]]).unique(dim=1) if both.any() else torch.zeros(2, 0, dtype=torch.long)
    result = torch.where(first == NO_UNIT, second, first)
    if pairs.shape[1]:
        counts = [len(side.unique()) for side in pairs]
        if min(counts) == 1 and max(counts) > 1:
            alone = counts.index(1)
            walk.units.freeze(pairs[alone][:1], f"one factor for many units ({walk.where()})")
            result = torch.where(both, second if alone == 0 else first, result)
        else:
            walk.units.tie(*pairs)
            result = walk.units.find(result)
    return tidy(result.reshape(shape)).expand(one.shape)


def reduction(walk: Walk, x: Any, dim: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Exact where what is reduced is one unit's; else statistics of many units, which have to stay."""
    labels = walk.labels(x)
    dims = [dim] if isinstance(dim, int) and not isinstance(dim, bool) else list(dim) if isinstance(dim, list | tuple) else []
    dims = sorted({each % labels.ndim for each in dims}) or list(range(labels.ndim))
    if any(varies(labels, each) for each in dims):
        walk.freeze(Labels(labels), f"{walk.op_name} over its units ({walk.where()})")
        return walk.each_output(lambda one: nothing(one.shape))
    for each in dims:
        labels = labels.narrow(each, 0, 1)
    return walk.each_output(lambda one: labels.reshape(one.shape))


def over_one_dimension(walk: Walk, x: Any, *args: Any, **kwargs: Any) -> Any:
    """softmax and its kin: each element depends on all along one dimension."""
    labels = walk.labels(x)
    dim = next((each for each in (*args, kwargs.get("dim")) if isinstance(each, int) and not isinstance(each, bool)), -1)
    if labels.ndim and varies(labels, dim):
        walk.freeze(Labels(labels), f"{walk.op_name} over its units ({walk.where()})")
    return walk.each_output(lambda one: labels if one.shape == labels.shape else nothing(one.shape))


def same_units(walk: Walk, x: Any, *args: Any, **kwargs: Any) -> Any:
    """A constant in the shape of an activation, and so as wide as it is when the network runs."""
    return Labels(nothing(walk.shape()))


def prelu(walk: Walk, x: Any, weight: Any) -> Any:
    labels = walk.labels(x)
    slopes = walk.labels(weight)
    if slopes.numel() > 1:
        wide = slopes.reshape(1, -1, *[1] * (labels.ndim - 2)).expand(labels.shape)
        return Labels(_united(walk, labels, wide))
    return Labels(labels)


def glu(walk: Walk, x: Any, dim: int = -1) -> Any:
    one, other = walk.labels(x).chunk(2, dim)
    return Labels(_united(walk, tidy(one), tidy(other)))


def no_rule(walk: Walk, *args: Any, **kwargs: Any) -> Any:
    """All that goes in stays; matrices among it are named, as nothing else would tell of the layer."""
    reason = f"{walk.op_name} is an operation without a rule ({walk.where()})"
    walk.freeze((args, kwargs), reason)
    for part in flat((args, kwargs)):
        if isinstance(part, Part) and len(walk.tensors[part.name].shape) > 1:
            walk.writes(part.name, 0)
            walk.units.freeze(walk.entries(part.name, 0), reason)
    return walk.each_output(lambda one: nothing(one.shape))


def viewed(walk: Walk, *args: Any, **kwargs: Any) -> Any:
    """A view moves elements about, if it is one of whole numbers too: not view_as_complex."""
    try:
        return movement.moved(walk, *args, **kwargs)
    except (NotImplementedError, RuntimeError):
        return no_rule(walk, *args, **kwargs)


TABLE: dict[str, Rule] = {
    **contractions.RULES, **norms.RULES, **movement.RULES,
    **dict.fromkeys(REDUCTIONS, reduction), **dict.fromkeys(OVER_ONE_DIMENSION, over_one_dimension),
    **dict.fromkeys(SAME_UNITS, same_units), "prelu": prelu, "_prelu_kernel": prelu, "glu": glu,
    **dict.fromkeys(IGNORED, lambda walk, *args, **kwargs: None),
}
