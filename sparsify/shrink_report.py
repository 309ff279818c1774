"""What `shrink` did, for people."""

from collections.abc import Mapping
from dataclasses import dataclass

from sparsify.budget import Trial
from sparsify.compress.report import Report
from sparsify.measure.size import SIZES, Size, counted


@dataclass(frozen=True, eq=False)
class ShrinkReport:
    """print(report) shows it. Sizes are those of sparsify/measure/size.py; scores are on the validation examples."""

    before: Size
    after: Size
    measure: str  # what a score is
    score_dense: float
    score_cut: float  # before recovery
    score: float  # of the small network
    wish: str  # the target; or the budget, and whether it was kept
    threshold: float  # of log alpha: what lay above it went
    trials: tuple[Trial, ...]  # of the search, where an accuracy was given
    removal: Report  # by stream, with the proof
    curves: Mapping[str, list[dict[str, float]]]  # of the Bayesian training and the recovery, a row an epoch
    seconds: float  # that the call took

    @property
    def gap(self) -> float:
        """The largest difference between the outputs of the network just cut and of the masked one, as a share of the largest output."""
        return self.removal.gap

    def __str__(self) -> str:
        counts = [(by, counted(self.before, by), counted(self.after, by)) for by in SIZES]
        counts += [("parameters", self.before.parameters, self.after.parameters), ("bytes", self.before.bytes, self.after.bytes)]
        rows = [("", "before", "after", "")]
        rows += [(name, f"{before:,}", f"{after:,}", f"{100 * after / max(1, before):.1f} % left") for name, before, after in counts]
        rows += [(self.measure, f"{self.score_dense:.4g}", f"{self.score:.4g}", f"{self.score_cut:.4g} before recovery")]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [f"{name:<{widths[0]}}  {before:>{widths[1]}}  {after:>{widths[2]}}  {note}".rstrip() for name, before, after, note in rows]
        tried = f", {len(self.trials)} trials" if self.trials else ""
        return "\n".join([*lines, self.wish, f"threshold of log alpha: {self.threshold:.3g}{tried}; {self.seconds:.0f} s in all",
                          f"proof: the outputs differ from the masked network's by {self.gap:.1e} of the largest"])
