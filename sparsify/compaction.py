"""From a Bayesian twin to a small network of the user's own class: what has drowned in its noise goes."""

from collections.abc import Collection, Mapping

from torch import Tensor, nn

from sparsify.bayes.convert import LogAlphas, bake, log_alphas
from sparsify.compress.remove import remove
from sparsify.compress.report import Report
from sparsify.structure import Structure
from sparsify.structure.export import Example


def relevant(scores: LogAlphas, threshold: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Masks (True = kept): log alpha, noise over signal, up to the threshold.  -> by stream (U,), by weight tensor its shape"""
    return ({name: score <= threshold for name, score in scores.units.items()},
            {name: score <= threshold for name, score in scores.weights.items()})


def compact(twin: nn.Module, example: Example, threshold: float = 0.0, *, keep: Mapping[str, Tensor] | None = None,
            weights: Mapping[str, Tensor] | None = None, inputs: bool = False, protect: Collection[str] = (), multiple_of: int = 1,
            structure: Structure | None = None) -> tuple[nn.Module, Report]:
    """A smaller copy of the user's class with the logits that the twin has in evaluation, but for what is irrelevant; and a report.

    threshold: of log alpha, log of noise over signal: what lies above it goes. At 0 noise and signal are equal.
    keep, weights: masks in place of those by the threshold, as `remove` takes them, and with them the rest.
    Raises InputError (EmptyLayer where a stream would lose all its units; a higher threshold keeps more)."""
    if keep is None and weights is None:
        keep, weights = relevant(log_alphas(twin), threshold)
    return remove(bake(twin), example, keep, weights=weights, inputs=inputs, protect=protect, multiple_of=multiple_of, structure=structure)
