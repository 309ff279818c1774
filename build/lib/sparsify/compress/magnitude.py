"""Magnitude pruning: the smallest weights, or the units whose incoming weights have the smallest norm, go first.

arXiv:1506.02626 removes weights one by one, arXiv:1608.08710 whole units; here the norm of a unit is L2, over all the rows that write it.
What makes the network's output has no scores, and so is never pruned."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sparsify.compress.cut import alive_in
from sparsify.compress.masks import EmptyLayer, silenced
from sparsify.settings import InputError
from sparsify.structure import Slot, Structure

SCOPES = ("layer", "global")


def weight_scores(model: nn.Module, structure: Structure) -> dict[str, Tensor]:
    """|w| of every weight but those that write the network's output.  by tensor, its shape"""
    last = {slot.tensor for stream in structure.streams.values() if stream.fixed == "network output" for slot in stream.writers}
    state = model.state_dict()
    return {name: state[name].abs() for name in structure.uses if name not in last}


def unit_scores(model: nn.Module, structure: Structure, inputs: bool = False) -> dict[str, Tensor]:
    """The L2 norm of what comes into each unit of every stream that can shrink; with `inputs`, and of what goes out of each feature of
    the network's input.  by stream, (U,)"""
    state = model.state_dict()
    slots = {name: stream.writers for name, stream in structure.shrinkable().items() if stream.writers}
    if inputs:
        slots |= {name: stream.readers for name, stream in structure.streams.items() if not stream.writers and stream.readers}
    return {name: torch.stack([_norms(state[slot.tensor], slot) for slot in each]).norm(dim=0) for name, each in slots.items()}


def smallest_removed(scores: Mapping[str, Tensor], percent: float, scope: str) -> dict[str, Tensor]:
    """Masks (True = kept) without the `percent` of smallest scores.  by name, the shape of its scores

    scope: "layer" takes that share of each, "global" of all scores together. Of n scores round(percent / 100 * n) go (a half
    rounds to even); of equal scores the earlier. None is emptied: where all of it would go its largest score stays, nothing goes
    in its place, and so fewer are gone than were asked for."""
    if scope == "layer":
        masks = {name: _kept(score.flatten(), percent).reshape(score.shape) for name, score in scores.items()}
    elif scope == "global":
        kept = _kept(torch.cat([score.flatten() for score in scores.values()]), percent)
        parts = kept.split([score.numel() for score in scores.values()])
        masks = {name: part.reshape(score.shape).clone() for (name, score), part in zip(scores.items(), parts, strict=True)}
    else:
        raise InputError(f"scope is {scope!r}; choose one of {', '.join(SCOPES)}")
    for name, mask in masks.items():
        if not mask.any():
            mask.view(-1)[scores[name].flatten().argmax()] = True
    return masks


@torch.no_grad()
def zeroed(model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    """A copy of `model` with the masked weights at zero and all else as it was: the bias of a unit without inputs still counts."""
    masked = copy.deepcopy(model)
    state = masked.state_dict()
    for name, mask in masks.items():
        state[name].mul_(mask)
    return masked


@torch.no_grad()
def like(model: nn.Module, structure: Structure, small: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Masks by magnitude that leave `model` as much as `small`, made from it by any other method, has: of units, and of weights.

    Where `small` has single weights at zero, the largest |w| stay: in each layer at least as many that some path from the input to the
    logits uses. Else whole units do: those whose incoming weights have the largest norm; and where `small` reads some features of its
    input alone, those whose outgoing weights have it.  -> by stream (U,) bool, by tensor bool of its shape"""
    left = small.state_dict()
    wanted = {name: left[name] for name in structure.uses if name in left}
    if not all(weight.all() for weight in wanted.values()):
        return {}, _weights_like(model, structure, {name: int(weight.count_nonzero()) for name, weight in wanted.items()})
    scores = unit_scores(model, structure, inputs=True)
    return {name: _largest(scores[name], int(units.sum())) for name, units in alive_in(structure, small).items()
            if name in scores and not units.all()}, {}


def _norms(weight: Tensor, slot: Slot) -> Tensor:
    """The L2 norm of all the entries of each unit.  -> (U,)"""
    lines = weight.transpose(0, slot.dim).flatten(1).norm(dim=1)
    return lines[slot.index.to(weight.device)].norm(dim=1) if slot.index.shape[1] > 1 else lines[slot.index[:, 0].to(weight.device)]


def _weights_like(model: nn.Module, structure: Structure, counts: Mapping[str, int]) -> dict[str, Tensor]:
    """The largest |w| of each layer, so many that `counts` of them are not on a dead end."""
    state = model.state_dict()
    scores = {name: state[name].abs() for name in counts}
    asked = dict(counts)
    while True:
        masks = {name: _largest(score, asked[name]) for name, score in scores.items()}
        try:
            masked = silenced(model, structure, {}, masks)[0].state_dict()
            left = {name: int(masked[name].count_nonzero()) for name in counts}
        except EmptyLayer:  # the weights of two layers do not meet at all
            left = dict.fromkeys(counts, 0)
        more = {name: min(scores[name].numel(), asked[name] + max(0, counts[name] - left[name])) for name in counts}
        if more == asked:
            return masks
        asked = more


def _largest(scores: Tensor, count: int) -> Tensor:
    """True for the `count` largest.  (*) -> (*) bool"""
    kept = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    kept[scores.flatten().argsort(descending=True, stable=True)[:count]] = True
    return kept.reshape(scores.shape)


def _kept(scores: Tensor, percent: float) -> Tensor:
    """(n,) -> (n,) bool"""
    kept = torch.ones_like(scores, dtype=torch.bool)
    kept[scores.argsort(stable=True)[:round(percent / 100 * len(scores))]] = False
    return kept
