"""Rules of normalisation: by running statistics, unit by unit; or by statistics over the units themselves."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from sparsify.structure.units import line, varies, varies_beside
from sparsify.structure.walk import Labels, Part, Walk


def unit_by_unit(walk: Walk, x: Any, weight: Any, bias: Any, mean: Any, var: Any, *args: Any) -> Any:
    """BatchNorm, and InstanceNorm, whose statistics are of one unit's places.  (N, C, ...)"""
    labels = walk.labels(x)
    _tie_vectors(walk, _channels(walk, labels), weight, bias, mean, var)
    if isinstance(var, Part):
        walk.divides_by(var.name, 0)
    return Labels(walk.units.find(labels))


def _tie_vectors(walk: Walk, labels: Tensor, *vectors: Any) -> None:
    for vector in vectors:
        if vector is not None:
            walk.tie_or_freeze(labels, walk.labels(vector).reshape(-1), f"normalised with what is no unit ({walk.where()})")


def _channels(walk: Walk, labels: Tensor) -> Tensor:
    """The labels along dimension 1; a stream whose places have several units stays.  (N, C, ...) -> (C,)"""
    if varies_beside(labels, 1):
        walk.freeze(Labels(labels), f"normalised over places of different units ({walk.where()})")
    return line(labels, 1)


def rms_norm(walk: Walk, x: Any, normalized_shape: list[int], weight: Any = None, eps: float | None = None) -> Any:
    return layer_norm(walk, x, normalized_shape, weight)


def layer_norm(walk: Walk, x: Any, normalized_shape: list[int], weight: Any = None, bias: Any = None, *args: Any, **kwargs: Any) -> Any:
    """LayerNorm and RMSNorm over the last dimension. As modules of torch they shrink exactly (compress/exact.py); others stay.

    Statistics over places of one unit alone are exact by themselves."""
    labels = walk.labels(x)
    over = range(labels.ndim - len(normalized_shape), labels.ndim)
    name = walk.op_name
    if any(varies(labels, dim) for dim in over):
        path, _ = walk.layer()
        module = walk.model.get_submodule(path)
        if len(normalized_shape) == 1 and type(module) in (nn.LayerNorm, nn.RMSNorm) and not varies_beside(labels, -1):
            walk.norms[path] = normalized_shape[0]
            walk.read_by_other(labels, name)
        else:
            walk.freeze(Labels(labels), f"{name} takes statistics over its units ({walk.where()})")
    if len(normalized_shape) == 1:
        _tie_vectors(walk, line(labels, -1), weight, bias)
    return Labels(walk.units.find(labels))


def group_norm(walk: Walk, x: Any, groups: int, weight: Any = None, bias: Any = None, *args: Any, **kwargs: Any) -> Any:
    labels = walk.labels(x)
    walk.freeze(Labels(labels), f"group_norm takes statistics over its units ({walk.where()})")
    _tie_vectors(walk, _channels(walk, labels), weight, bias)
    return Labels(labels)


RULES: dict[str, Callable[..., Any]] = {
    "batch_norm": unit_by_unit, "instance_norm": unit_by_unit, "_native_batch_norm_legit_no_training": unit_by_unit,
    "cudnn_batch_norm": unit_by_unit, "layer_norm": layer_norm, "rms_norm": rms_norm, "group_norm": group_norm}
