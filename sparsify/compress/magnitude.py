"""Magnitude pruning: the smallest weights, or the units whose incoming weights have the smallest norm, go first.

arXiv:1506.02626 removes weights one by one, arXiv:1608.08710 whole units; here the norm of a unit is L2. The layer that makes the
logits has no scores, and so is never pruned."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sparsify.compress.chain import links
from sparsify.compress.masks import apply
from sparsify.models import weighted_layers
from sparsify.settings import InputError

SCOPES = ("layer", "global")


def weight_scores(model: nn.Sequential) -> dict[str, Tensor]:
    """|w| of every layer but the last.  by layer, (O, I, ...)"""
    return {name: weight.abs() for name, weight in _inner_weights(model).items()}


def unit_scores(model: nn.Sequential) -> dict[str, Tensor]:
    """The L2 norm of what comes into each unit, in every layer but the last.  by layer, (O, 1, ...)"""
    return {name: weight.flatten(1).norm(dim=1).reshape(-1, *[1] * (weight.ndim - 1)) for name, weight in _inner_weights(model).items()}


def smallest_removed(scores: Mapping[str, Tensor], percent: float, scope: str) -> dict[str, Tensor]:
    """Masks (True = kept) without the `percent` of smallest scores.  by layer, the shape of its scores

    scope: "layer" takes that share of each layer, "global" of all scores together. Of n scores round(percent / 100 * n) go (a half
    rounds to even); of equal scores the earlier. No layer is emptied: where all of it would go its largest score stays, nothing goes
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
def zeroed(model: nn.Sequential, masks: Mapping[str, Tensor]) -> nn.Sequential:
    """A copy of `model` with the masked weights at zero and all else as it was: the bias of a unit without inputs still counts."""
    masked = copy.deepcopy(model)
    layers = weighted_layers(masked)
    for name, mask in masks.items():
        layers[name].weight.mul_(mask)
    return masked


def like(model: nn.Sequential, small: nn.Sequential) -> dict[str, Tensor]:
    """Masks by magnitude that leave `model` as much as `small`, made from it by any other method, has.  by layer, (O, I, ...)

    Where `small` has single weights at zero, the largest |w| stay: in each layer at least as many that some path from the input to the
    logits uses. Else whole units do: those whose incoming weights have the largest norm, and where `small` selects the features that it
    reads, those whose outgoing weights have it, one of each unit at least."""
    layers, wanted = weighted_layers(model), {name: layer.weight.detach() for name, layer in weighted_layers(small).items()}
    if not all(weight.all() for weight in wanted.values()):
        return _weights_like(model, {name: int(weight.count_nonzero()) for name, weight in wanted.items()})
    masks, units = {}, None
    for link in links(model)[:-1]:
        weight, target = layers[link.consumer].weight.detach(), wanted[link.consumer]
        rows = _largest(weight.flatten(1).norm(dim=1), target.shape[0])
        features = weight.transpose(0, 1).flatten(1).norm(dim=1)  # (I,)
        if units is not None:
            unit = link.unit.to(weight.device)
            features = features * units[unit]
            best = features.new_zeros(link.n_units).scatter_reduce(0, unit, features, "amax")
            features = features + features.max() * ((features > 0) & (features == best[unit]))  # ahead of all that are second of a unit
        columns = _largest(features, target.shape[1])
        masks[link.consumer] = (rows[:, None] & columns).reshape(*weight.shape[:2], *[1] * (weight.ndim - 2)).expand_as(weight)
        units = rows
    return masks


def _weights_like(model: nn.Sequential, counts: Mapping[str, int]) -> dict[str, Tensor]:
    """The largest |w| of each layer, so many that `counts` of them are not on a dead end."""
    scores = {name: layer.weight.detach().abs() for name, layer in weighted_layers(model).items()}
    asked = dict(counts)
    while True:
        masks = {name: _largest(score, asked[name]) for name, score in scores.items()}
        try:
            left = {name: int(layer.weight.count_nonzero()) for name, layer in weighted_layers(apply(model, masks)).items()}
        except InputError:  # the weights of two layers do not meet at all
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


def _inner_weights(model: nn.Sequential) -> dict[str, Tensor]:
    return {name: layer.weight.detach() for name, layer in list(weighted_layers(model).items())[:-1]}


def _kept(scores: Tensor, percent: float) -> Tensor:
    """(n,) -> (n,) bool"""
    kept = torch.ones_like(scores, dtype=torch.bool)
    kept[scores.argsort(stable=True)[:round(percent / 100 * len(scores))]] = False
    return kept
