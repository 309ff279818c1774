"""From a Bayesian twin to a small network of the user's own class: what has drowned in its noise goes."""

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from sparsify.bayes.convert import Scores, bake, log_alphas, scored
from sparsify.bayes.gates import Gate
from sparsify.bayes.groups import Group, Weights
from sparsify.bayes.orders import evidence, signal_per_mac
from sparsify.compress import magnitude
from sparsify.compress.masks import EmptyLayer
from sparsify.compress.remove import remove
from sparsify.compress.report import Report
from sparsify.settings import InputError
from sparsify.structure import Structure, analyse, listed
from sparsify.structure.export import Example

ORDERS = ("log_alpha", "evidence", "signal_per_mac", "magnitude")


def scores(twin: nn.Module, structure: Structure, order: str = "log_alpha") -> Scores:
    """How irrelevant each unit or weight of a twin is; structure: of the plain network. docs/targets.md section 3

    log_alpha       log of noise over signal
    evidence        what the log evidence gains without it, in nats (bayes/orders.py)
    signal_per_mac  minus the log of its signal over noise for each multiply-accumulate it costs (bayes/orders.py)
    magnitude       minus the log of the L2 norm of the mean weights that come into it (compress/magnitude.py)

    Raises InputError for another order, and where a prior has no such score."""
    if order not in ORDERS:
        raise InputError(f"order is {order!r}; choose one of {', '.join(ORDERS)}")
    if order == "magnitude":
        return _magnitudes(twin, structure)
    if order == "signal_per_mac":
        return signal_per_mac(twin, structure)
    return evidence(twin) if order == "evidence" else log_alphas(twin)


def _magnitudes(twin: nn.Module, structure: Structure) -> Scores:
    mean = bake(twin)
    norms, state = magnitude.unit_scores(mean, structure, inputs=True), mean.state_dict()

    def score(group: Group) -> Tensor:
        if isinstance(group, Weights):
            size = state[group.name].abs()
        elif isinstance(group, Gate) and structure.streams[group.name].writers:
            size = norms[group.name] * group.mean.abs()  # the gate is baked into the readers, and scales what comes in
        else:
            size = norms[group.name]
        return -size.clamp_min(torch.finfo(size.dtype).tiny).log()
    return scored(twin, score)


def relevant(scores: Scores, threshold: float, least: int = 0) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Masks (True = kept): scores up to the threshold.  -> by stream (U,), by weight tensor its shape

    least: so many units of a stream stay where all of it would go, those of the lowest scores: what stands beside a skip may be
        irrelevant as a whole.
    Raises EmptyLayer, which says which threshold is the lowest that can be, where a stream (with `least`, every stream) would lose all its
    units."""
    if not isinstance(threshold, int | float) or math.isnan(threshold):
        raise InputError(f"threshold is {threshold!r}; it has to be a number: the largest score of irrelevance that stays")
    keep = {name: score <= threshold for name, score in scores.units.items()}
    empty = [name for name, kept in keep.items() if not kept.any()]
    if empty and (not least or len(empty) == len(keep)):
        least_irrelevant = [score.min().item() for score in scores.units.values()]
        lowest = math.ceil(100 * (min(least_irrelevant) if least else max(least_irrelevant))) / 100
        raise EmptyLayer(f"threshold is {threshold:g}, which leaves nothing of {listed(empty)}; the lowest that leaves a unit of each "
                         f"stream is {lowest:g} (less beta in training lowers it)")
    for name in empty:
        keep[name][scores.units[name].argsort(stable=True)[:least]] = True
    return keep, {name: score <= threshold for name, score in scores.weights.items()}


def compact(twin: nn.Module, example: Example, threshold: float = 0.0, *, order: str = "log_alpha",
            keep: Mapping[str, Tensor] | None = None, weights: Mapping[str, Tensor] | None = None, inputs: bool = False,
            protect: Collection[str] = (), multiple_of: int = 1, structure: Structure | None = None) -> tuple[nn.Module, Report]:
    """A smaller copy of the user's class with the logits that the twin has in evaluation, but for what is irrelevant; and a report.

    threshold: what has a score above it goes. At 0 noise and signal are equal, or with the order "evidence" the evidence.
    order: of the scores; see `scores`
    keep, weights: masks in place of those by the threshold, as `remove` takes them, and with them the rest.
    Raises InputError (EmptyLayer where a stream would lose all its units; it says which threshold is the lowest that can be)."""
    mean = bake(twin)
    structure = structure or analyse(mean, example)
    if keep is None and weights is None:
        keep, weights = relevant(scores(twin, structure, order), threshold)
    return remove(mean, example, keep, weights=weights, inputs=inputs, protect=protect, multiple_of=multiple_of, structure=structure)
