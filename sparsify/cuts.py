"""The networks that a twin can become, by threshold: how large each is, which fits a wish, and the one that is cut."""

from collections.abc import Callable, Collection

import torch
from torch import Tensor, nn

from sparsify import distributed
from sparsify.bayes.convert import Scores
from sparsify.bayes.priors import Target
from sparsify.compaction import relevant
from sparsify.compress.masks import EmptyLayer, mask
from sparsify.compress.remove import draft, remove
from sparsify.compress.report import Report
from sparsify.compress.threshold import Row, candidates, distinct, finer, largest_within, scan, within_budget
from sparsify.measure.size import Size, count, counted, hidden, nonzeros, removed_percent, size, total
from sparsify.structure import Structure

SCAN_POINTS, FINER_POINTS = 40, 12
LEAST = 1  # unit of a stream stays: in a residual network whole layers may be irrelevant, and the rest goes on without them
WEIGHTS, ACCURACY = "weights_removed_percent", "validation_accuracy"


class Cuts:
    """mean: the plain network of the twin's means. scores: how irrelevant units or weights are, as of compaction.scores. inputs: whether
    features of the input may leave. protect: streams and modules that keep their width. example: what the network is called with.
    before: what a share is a share of; the mean's own size if not given, in which zeros of the dense network may have grown."""

    def __init__(self, mean: nn.Module, scores: Scores, structure: Structure, example: Tensor, inputs: bool = False,
                 protect: Collection[str] = (), before: Size | None = None):
        self.mean, self.scores, self.structure, self.example, self.inputs = mean, scores, structure, example, inputs
        self.protect = protect
        self.irrelevance = {**scores.units, **scores.weights}
        self.before = before or size(mean, structure, example)

    @property
    def whole(self) -> float:
        """The threshold that leaves all."""
        return max(score.max().item() for score in self.irrelevance.values())

    def at(self, threshold: float) -> nn.Module:
        """Without the proof. Raises EmptyLayer where nothing of any stream would stay."""
        return draft(self.mean, self.structure, *relevant(self.scores, threshold, LEAST), inputs=self.inputs)

    def left(self, threshold: float, by: str) -> int:
        """by: units, weights, nonzeros, macs"""
        return count(self.at(threshold), self.structure, self.example, by)

    def within(self, most: float, by: str) -> float:
        """The threshold that leaves the most of those that leave no more than `most`, a count. Raises InputError where none does."""
        return largest_within(self.irrelevance, lambda threshold: self.left(threshold, by), most, by)

    def exactly(self, target: Target) -> float:
        """The threshold that leaves what `target`, which has one size, says, or as little less as can be."""
        (by, _), = target.given().items()
        return self.within(self.most(target), by)

    def most(self, target: Target) -> float:
        """As a count."""
        (by, value), = target.given().items()
        return value * counted(self.before, by) if value < 1 else value

    def smallest(self, by: str) -> int:
        """The least that a threshold can leave."""
        values = distinct(self.irrelevance)
        low, high = 0, len(values) - 1
        while low < high:
            middle = (low + high) // 2
            try:
                self.at(values[middle].item())
                high = middle
            except EmptyLayer:
                low = middle + 1
        return self.left(values[low].item(), by)

    def scanned(self, accuracy: Callable[[nn.Module], float]) -> list[Row]:
        """What thresholds over the whole range leave, and what they cost before recovery; the highest, which leaves all, first."""
        return self._scan(candidates(self.irrelevance, SCAN_POINTS), accuracy)

    def within_drop(self, rows: list[Row], least: float, accuracy: Callable[[nn.Module], float]) -> tuple[float, list[Row]]:
        """The threshold that leaves the fewest weights of those that keep an accuracy of `least` before recovery, or all if none does;
        and `rows`, from `scanned`, with those that were tried besides."""
        chosen = within_budget(rows, WEIGHTS, ACCURACY, least)
        between = finer(self.irrelevance, [row["threshold"] for row in rows], chosen["threshold"], FINER_POINTS)
        rows = rows + self._scan(between, accuracy)[1:]
        return within_budget(rows, WEIGHTS, ACCURACY, least)["threshold"], sorted(rows, key=lambda row: -row["threshold"])

    def cut(self, threshold: float) -> tuple[nn.Module, Report]:
        """The small network, proven; and what was done."""
        keep, weights = self._relevant(threshold)
        return remove(self.mean, self.example, keep, weights=weights, inputs=self.inputs, protect=self.protect, structure=self.structure)

    def masked(self, threshold: float) -> nn.Module:
        """The network at full size that the small one equals."""
        keep, weights = self._relevant(threshold)
        return mask(self.mean, self.example, keep, weights=weights, inputs=self.inputs, structure=self.structure)

    def _relevant(self, threshold: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """All processes have to cut alike, whatever a GPU's sums came to."""
        return relevant(self.scores, distributed.same(threshold), LEAST)

    def size(self, network: nn.Module) -> Size:
        return size(network, self.structure, self.example)

    def _scan(self, thresholds: list[float], accuracy: Callable[[nn.Module], float]) -> list[Row]:
        def measure(small: nn.Module) -> Row:
            return {"hidden_removed_percent": removed_percent(total(self.before.hidden), total(hidden(small, self.structure))),
                    WEIGHTS: removed_percent(total(self.before.weights), total(nonzeros(small, self.structure))),
                    ACCURACY: accuracy(small)}

        rows = scan(self.at, thresholds, measure)
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # forty widths of a VGG-16 left 20 GiB of blocks that fit nothing that comes after
        return rows
