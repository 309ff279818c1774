"""From a Bayesian twin to a small network of the user's own class: what has drowned in its noise goes."""

import math
from collections.abc import Collection, Mapping

from torch import Tensor, nn

from sparsify.bayes.convert import LogAlphas, bake, log_alphas
from sparsify.compress.masks import EmptyLayer
from sparsify.compress.remove import remove
from sparsify.compress.report import Report
from sparsify.settings import InputError
from sparsify.structure import Structure, listed
from sparsify.structure.export import Example


def relevant(scores: LogAlphas, threshold: float, least: int = 0) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Masks (True = kept): log alpha, noise over signal, up to the threshold.  -> by stream (U,), by weight tensor its shape

    least: so many units of a stream stay where all of it would go, those with the least noise: what stands beside a skip may be
        irrelevant as a whole.
    Raises EmptyLayer, which says which threshold is the lowest that can be, where a stream (with `least`, every stream) would lose all its
    units."""
    if not isinstance(threshold, int | float) or math.isnan(threshold):
        raise InputError(f"threshold is {threshold!r}; it has to be a number: the largest log alpha, noise over signal, that stays")
    keep = {name: score <= threshold for name, score in scores.units.items()}
    empty = [name for name, kept in keep.items() if not kept.any()]
    if empty and (not least or len(empty) == len(keep)):
        lowest = math.ceil(100 * max(score.min().item() for score in scores.units.values())) / 100
        raise EmptyLayer(f"threshold is {threshold:g}, which leaves nothing of {listed(empty)}; the lowest that leaves a unit of each "
                         f"stream is {lowest:g} (less beta in training lowers it)")
    for name in empty:
        keep[name][scores.units[name].argsort(stable=True)[:least]] = True
    return keep, {name: score <= threshold for name, score in scores.weights.items()}


def compact(twin: nn.Module, example: Example, threshold: float = 0.0, *, keep: Mapping[str, Tensor] | None = None,
            weights: Mapping[str, Tensor] | None = None, inputs: bool = False, protect: Collection[str] = (), multiple_of: int = 1,
            structure: Structure | None = None) -> tuple[nn.Module, Report]:
    """A smaller copy of the user's class with the logits that the twin has in evaluation, but for what is irrelevant; and a report.

    threshold: of log alpha, log of noise over signal: what lies above it goes. At 0 noise and signal are equal.
    keep, weights: masks in place of those by the threshold, as `remove` takes them, and with them the rest.
    Raises InputError (EmptyLayer where a stream would lose all its units; it says which threshold is the lowest that can be)."""
    if keep is None and weights is None:
        keep, weights = relevant(log_alphas(twin), threshold)
    return remove(bake(twin), example, keep, weights=weights, inputs=inputs, protect=protect, multiple_of=multiple_of, structure=structure)
