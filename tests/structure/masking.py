"""Masks on every stream, a masked network made by hand, the reference for all removals, and what tests ask of the two."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sparsify.structure import Stream, streams
from tests.structure.taint import Unit


def quarter(found: Mapping[str, Stream]) -> dict[str, Tensor]:
    """By stream that can shrink, which units stay: all but a random quarter, at least one of two or more."""
    keep = {}
    for name, stream in found.items():
        if stream.fixed is None and stream.size > 1:
            keep[name] = torch.ones(stream.size, dtype=torch.bool)
            keep[name][torch.randperm(stream.size)[:max(1, stream.size // 4)]] = False
    return keep


@torch.no_grad()
def masked_by_hand(model: nn.Module, found: Mapping[str, Stream], keep: Mapping[str, Tensor]) -> nn.Module:
    """A copy of `model` in which every entry of every unit that goes is zero.

    But for the direction of a row under weight_norm: it has no length then, and that one of the row is zero already."""
    masked = copy.deepcopy(model)
    parameters = dict(masked.named_parameters(remove_duplicate=False))
    for name, kept in keep.items():
        for slot in found[name].writers + found[name].readers + found[name].carriers:
            is_direction = slot.tensor.endswith("weight.original1") and slot.dim == 0
            if slot.tensor in parameters and not is_direction:
                parameters[slot.tensor].index_fill_(slot.dim, slot.index[~kept].flatten().unique(), 0)
    return masked


def units_found(model: nn.Module, example: tuple[Tensor, ...]) -> set[Unit]:
    """The units of every stream that can shrink, each the set of all its entries."""
    found = set()
    for stream in streams(model, example).values():
        if stream.fixed is None:
            slots = stream.writers + stream.readers + stream.carriers
            found |= {frozenset((slot.tensor, slot.dim, place) for slot in slots for place in slot.index[unit].tolist())
                      for unit in range(stream.size)}
    return found


def outputs(model: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    """All that a network gives, as one matrix.  (N, all of them)"""
    with torch.no_grad():
        found = model(*inputs)
    return torch.cat([value.flatten(1) for value in (found.values() if isinstance(found, dict) else [found])], 1)


def assert_equal_logits(small: nn.Module, masked: nn.Module, inputs: tuple[Tensor, ...], tolerance: float) -> None:
    """Equal to `tolerance` times the largest logit, or times one if all are smaller."""
    expected = outputs(masked, inputs)
    assert expected.isfinite().all()
    torch.testing.assert_close(outputs(small, inputs), expected, rtol=0, atol=tolerance * max(1, expected.abs().max().item()))
