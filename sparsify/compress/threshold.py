"""How much to remove: every candidate threshold is tried on a copy, and the smallest network within a budget is taken.

Scores say how irrelevant a unit or a weight is; what is above a threshold goes."""

import bisect
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from sparsify.compress.masks import EmptyLayer
from sparsify.settings import InputError, amount

Row = dict[str, float]


def distinct(scores: Mapping[str, Tensor]) -> Tensor:
    """All scores that differ, the lowest first, on the CPU.  -> (n,) float64"""
    return torch.cat([score.flatten() for score in scores.values()]).double().cpu().unique()


def candidates(scores: Mapping[str, Tensor], n: int) -> list[float]:
    """At most `n` thresholds that cut the scores of all layers together into equal parts, the highest (nothing goes) first."""
    values = distinct(scores)
    places = torch.linspace(len(values) - 1, 0, n, dtype=torch.float64).round().long().unique().flip(0)
    return values[places].tolist()


def finer(scores: Mapping[str, Tensor], thresholds: list[float], chosen: float, n: int) -> list[float]:
    """The chosen one of `thresholds`, and at most `n` between it and the next lower one, which was one step too far."""
    lower = max((threshold for threshold in thresholds if threshold < chosen), default=float("-inf"))
    between = {name: score[(score > lower) & (score < chosen)] for name, score in scores.items()}
    return [chosen, *(candidates(between, n) if any(len(score) for score in between.values()) else [])]


def scan(cut_at: Callable[[float], nn.Module], thresholds: list[float], measure: Callable[[nn.Module], Row]) -> list[Row]:
    """What `measure` says of the network that `cut_at` gives for each threshold, up to the first that would empty a layer."""
    rows: list[Row] = []
    for threshold in thresholds:
        try:
            small = cut_at(threshold)
        except EmptyLayer:
            break
        rows.append({"threshold": threshold, **measure(small)})
    if not rows:
        raise InputError("every threshold would empty a layer: the network has collapsed; lower prior.beta")
    return rows


def largest_within(scores: Mapping[str, Tensor], left: Callable[[float], float], most: float, what: str) -> float:
    """The highest threshold that leaves no more than `most`. left: how much a threshold leaves, growing with it

    Raises InputError where every threshold that leaves something of each layer leaves more."""
    values = distinct(scores)

    def fits(number: int) -> bool:
        try:
            return left(values[number].item()) <= most
        except EmptyLayer:
            return True

    place = bisect.bisect_left(range(len(values)), True, key=lambda number: not fits(number)) - 1
    try:
        if place >= 0 and left(values[place].item()) <= most:
            return values[place].item()
    except EmptyLayer:
        pass
    least = left(values[min(place + 1, len(values) - 1)].item())
    raise InputError(f"the target is {amount(most)} {what}; no threshold that leaves something of each layer leaves fewer than "
                     f"{least:,.0f}: set a larger target, or train with another prior.target or prior.beta")


def within_budget(rows: list[Row], removed: str, accuracy: str, least: float) -> Row:
    """The row with the most `removed` among those whose `accuracy` is at least `least`; the first if none is.  rows from `scan`"""
    least -= 1e-9  # a difference of percentages may miss the very one that it stands for
    return max((row for row in rows if row[accuracy] >= least), key=lambda row: row[removed], default=rows[0])
