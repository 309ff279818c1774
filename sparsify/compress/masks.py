"""Masks: weights at zero, and silence for every unit that is not kept or has lost all its inputs or all its readers."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sparsify.settings import InputError
from sparsify.structure import Slot, Stream, Structure, analyse, listed
from sparsify.structure.export import Example


class EmptyLayer(InputError):
    """Masks that leave nothing of a stream."""


def mask(model: nn.Module, example: Example, keep: Mapping[str, Tensor] | None = None, *, weights: Mapping[str, Tensor] | None = None,
         inputs: bool = False, structure: Structure | None = None) -> nn.Module:
    """A copy of `model` in which every entry of the units that are not kept is zero: their rows, their columns, their biases and norms.

    keep: by stream, (units,) bool, True = kept; streams that are not named are kept whole.
    weights: by tensor, as state_dict() names it, a mask that broadcasts to it; a unit that loses all its inputs, or all its readers,
        falls silent with them. inputs: so do features of the network's input.
    structure: of an analysis made before. Raises InputError for masks that do not fit, EmptyLayer for a stream without a unit."""
    return silenced(model, structure or analyse(model, example), keep, weights, inputs)[0]


@torch.no_grad()
def silenced(model: nn.Module, structure: Structure, keep: Mapping[str, Tensor] | None, weights: Mapping[str, Tensor] | None,
             inputs: bool = False) -> tuple[nn.Module, dict[str, Tensor]]:
    """The masked copy, and by stream which units are alive in it.  -> (units,) bool, on the CPU"""
    if any("sparsify_coverage" in vars(module) for module in model.modules()):  # as bayesianize leaves it
        raise InputError("the network is a Bayesian twin; give bake(twin), which is plain again, or take compact(twin, ...)")
    for what, masks in (("keep", keep), ("weights", weights)):
        if masks is not None and not isinstance(masks, Mapping):
            raise InputError(f"{what} is a {type(masks).__name__}; it has to be a dict of masks by name")
    keep, weights = keep or {}, weights or {}
    masked = copy.deepcopy(model)
    tensors = masked.state_dict()
    alive = alive_units(structure, keep)
    for name in keep:
        _silence(tensors, structure.streams[name], ~alive[name])
    for name, mask_of_weights in weights.items():
        kept = _checked_weights(tensors, name, mask_of_weights)
        tensors[name].mul_(kept)
    if weights:
        able = [stream for stream in structure.streams.values() if stream.fixed is None or (inputs and not stream.writers)]
        _fall_silent(tensors, able, alive)
        _refuse_empty(alive)
    return masked, alive


@torch.no_grad()
def without_blanks(masked: nn.Module, model: nn.Module, structure: Structure, alive: Mapping[str, Tensor]) -> nn.Module:
    """`masked`, with random numbers in the parameters of `model` that are zero all over: behind a head of zeros, say, nothing shows.

    Units that are not alive stay silent. A network without such parameters is given back as it is."""
    blank = [name for name, parameter in model.named_parameters() if not parameter.flatten()[:1].any() and not parameter.any()]
    if not blank:
        return masked
    telling, generator = copy.deepcopy(masked), torch.Generator().manual_seed(0)
    tensors = telling.state_dict()
    for name in blank:
        tensors[name].copy_(torch.randn(tensors[name].shape, generator=generator) / max(1, tensors[name][:1].numel()) ** 0.5)
    for name, units in alive.items():
        _silence(tensors, structure.streams[name], ~units)
    return telling


def alive_units(structure: Structure, keep: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """By stream, (units,) bool, on the CPU: `keep`, checked, and all units of the streams that it does not name."""
    alive = {name: torch.ones(stream.size, dtype=torch.bool) for name, stream in structure.streams.items()}
    alive |= {name: _checked(structure, name, units) for name, units in keep.items()}
    _refuse_empty(alive)
    return alive


def _refuse_empty(alive: Mapping[str, Tensor]) -> None:
    for name, units in alive.items():
        if not units.any():
            raise EmptyLayer(f"the masks leave none of the {len(units)} units of {name}; keep at least one")


def _checked_weights(tensors: Mapping[str, Tensor], name: str, kept: Tensor) -> Tensor:
    if name not in tensors:
        raise InputError(f"weights names {name!r}, which is no tensor of the network; choose from {listed(tensors)}")
    if not isinstance(kept, Tensor):
        raise InputError(f"weights[{name!r}] is a {type(kept).__name__}; it has to be a tensor, True = kept")
    tensor = tensors[name]
    try:
        fits = torch.broadcast_shapes(kept.shape, tensor.shape) == tensor.shape and tensor.is_floating_point()
    except RuntimeError:
        fits = False
    if not fits:
        raise InputError(f"weights[{name!r}] has the shape {tuple(kept.shape)}; it has to broadcast to floats of shape "
                         f"{tuple(tensor.shape)}, and {name} is {tensor.dtype}")
    return kept.to(tensor.device)


def _checked(structure: Structure, name: str, units: Tensor) -> Tensor:
    if name not in structure.streams:
        raise InputError(f"keep names {name!r}, which is no stream; choose from {listed(structure.streams)}")
    stream = structure.streams[name]
    if not isinstance(units, Tensor):
        raise InputError(f"keep[{name!r}] is a {type(units).__name__}; it has to be a bool tensor of shape ({stream.size},), True = kept")
    if units.dtype != torch.bool or units.shape != (stream.size,):
        raise InputError(f"keep[{name!r}] is {units.dtype} of shape {tuple(units.shape)}; it has to be bool of shape ({stream.size},), "
                         "True = kept")
    if stream.fixed is not None and stream.writers and not units.all():
        raise InputError(f"keep[{name!r}] would take units away that have to stay: {stream.fixed}")
    return units.cpu()


def _silence(tensors: Mapping[str, Tensor], stream: Stream, dead: Tensor) -> None:
    """Everything of the dead units to zero; what is divided by stays, as what it divides is zero."""
    if not dead.any():
        return
    for slot in stream.slots:
        if slot.zeroed and slot.tensor in tensors:
            tensor = tensors[slot.tensor]
            alive = torch.ones(tensor.shape[slot.dim], dtype=tensor.dtype)
            alive[slot.index[dead].reshape(-1)] = 0
            tensor.mul_(_along(alive.to(tensor.device), slot.dim, tensor.ndim))  # by zero: much faster than filling by index


def _fall_silent(tensors: Mapping[str, Tensor], streams: list[Stream], alive: dict[str, Tensor]) -> None:
    """Until nothing changes: a unit without inputs is a constant, one without readers is nobody's; both go, and take others along."""
    live: dict[tuple[str, int], Tensor] = {}  # of what did not change

    def any_of(slots: tuple[Slot, ...], units: int) -> Tensor:
        found = torch.zeros(units, dtype=torch.bool)
        for slot in slots:
            if (slot.tensor, slot.dim) not in live:
                live[slot.tensor, slot.dim] = _any_along(tensors[slot.tensor], slot.dim).cpu()
            found |= live[slot.tensor, slot.dim][slot.index].any(1)
        return found

    changed = True
    while changed:
        changed = False
        for stream in streams:
            dying = torch.zeros(stream.size, dtype=torch.bool)
            if stream.writers:
                dying |= ~any_of(stream.writers, stream.size)
            if stream.readers and not stream.others:
                dying |= ~any_of(stream.readers, stream.size)
            dying &= alive[stream.name]
            if dying.any():
                changed = True
                alive[stream.name] = alive[stream.name] & ~dying
                _silence(tensors, stream, dying)
                touched = {slot.tensor for slot in stream.slots}
                for entry in [entry for entry in live if entry[0] in touched]:
                    del live[entry]


def _any_along(weight: Tensor, dim: int) -> Tensor:
    """Whether anything is not zero at each place of `dim`.  (*, n, *) -> (n,) bool"""
    return (weight != 0).movedim(dim, 0).flatten(1).any(1) if weight.ndim > 1 else weight != 0


@torch.no_grad()
def drawn_anew(model: nn.Module, made: nn.Module | None = None) -> nn.Module:
    """A copy of `model` with fresh weights; those that are zero stay so.

    made: the same network as its class makes it: parameters of modules that have no reset_parameters are taken from it, if it is given.
    The weights of a layer with zeros are drawn larger, so that its outputs start as large as those of a full one."""
    fresh = copy.deepcopy(model)
    for path, layer in fresh.named_modules():
        if not callable(reset := getattr(layer, "reset_parameters", None)):
            for name, parameter in layer.named_parameters(path, recurse=False):
                if made is not None:
                    parameter.copy_(made.get_parameter(name))
        else:
            weight = getattr(layer, "weight", None)
            held = weight != 0 if isinstance(weight, Tensor) and weight.ndim > 1 else None
            reset()
            if isinstance(weight, Tensor) and held is not None:
                weight.mul_(held * (held.numel() / held.sum()).sqrt())
    return fresh


def _along(values: Tensor, dim: int, ndim: int) -> Tensor:
    return values.reshape([-1 if each == dim else 1 for each in range(ndim)])
