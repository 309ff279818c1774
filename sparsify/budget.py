"""The smallest network that keeps an accuracy after its recovery: bisection over the size, with a recovery at each that is tried.

A trial is the recovery itself, unless fewer epochs are asked for. Those have the whole schedule of the full one, so that the learning rate
too ends at nothing: the first epochs of the long schedule, at its highest rate, would say little of its end. Short trials are cheaper and
often end lower: the network that they choose is larger than need be. Where none of them keeps the accuracy, the dense network is left.
What came out is measured again after the recovery (`kept`)."""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from sparsify import checkpoint, distributed
from sparsify.compress.recovery import Recovery
from sparsify.cuts import Cuts

RATIO = 1.1  # two sizes that are closer are not told apart: their accuracies differ by less than validation can tell
BY = "nonzeros"  # of two cuts of one twin, the one that has more of them has no less of anything else


class Trial(NamedTuple):
    threshold: float
    left: int  # weights that are not zero
    accuracy: float  # on validation, after the trial


def smallest_that_keeps(fitting: Callable[[float], tuple[float, int]], accuracy: Callable[[float], float], whole: int, smallest: int,
                        least: float) -> tuple[Trial | None, list[Trial]]:
    """Of networks that grow more accurate with their size, the smallest whose accuracy is at least `least`, to RATIO, or None where
    nothing smaller than the whole keeps that; and all trials.

    fitting: the threshold that leaves the most of those that leave no more than a number, and how many it leaves. accuracy: by threshold;
    each call is a trial. whole, smallest: the most and the least that a threshold leaves."""
    best, top, failed, tried = None, whole, smallest - 1.0, []
    while top > smallest and top > RATIO * failed:
        goal = max(float(smallest), math.sqrt(top * max(1.0, failed)))
        threshold, left = fitting(goal)
        if left > failed:  # else there is none between the two
            tried.append(Trial(threshold, left, accuracy(threshold)))
            if tried[-1].accuracy >= least - 1e-9:
                best, top = tried[-1], left
                continue
        failed = goal
    return best, tried


def most_trials(whole: int, smallest: int) -> int:
    """That `smallest_that_keeps` may take."""
    octaves = math.log(max(1, whole) / max(1, smallest - 1)) / math.log(RATIO)
    return math.ceil(math.log2(octaves)) + 1 if octaves > 1 else int(whole > smallest)


def search(cuts: Cuts, dense: float, max_drop: float, recovery: Recovery, trial_epochs: int,
           state: Path | None = None) -> tuple[float | None, list[Trial]]:
    """The threshold of the network that keeps `dense - max_drop` on validation, and all trials; None where none does, so that the dense
    network stays as it is. What it will cost is said first.

    recovery: its `evaluate` gives one score. state: a file for the trial that is under way, and beside it one for those that
    are done, with which an interrupted search goes on; whoever keeps what was found deletes both (`forget`)."""
    def fitting(goal: float) -> tuple[float, int]:
        threshold = distributed.same(cuts.within(goal, BY))
        return threshold, cuts.left(threshold, BY)

    def cost_of(trials: int) -> float:
        middle, _ = fitting(math.sqrt(whole * smallest))
        return trials * trial_epochs * recovery.seconds_per_epoch(cuts.at(middle))

    least, whole, smallest = dense - max_drop, cuts.left(cuts.whole, BY), cuts.smallest(BY)
    trials = most_trials(whole, smallest)
    under_way = 0.0 if state is None else checkpoint.seconds(state)
    done = checkpoint.Results(_results(state), distributed.first(), every_seconds=0, before=under_way)
    cost = f"{len(done)} are done" if len(done) else f"about {cost_of(trials):.0f} s"
    _say(f"looking for the smallest network with {least:.4g} or more on validation, {max_drop:g} under the dense one's {dense:.4g}: "
         f"at most {trials} trials of {trial_epochs} epochs each, {cost}, then the recovery")

    def tried_at(threshold: float) -> float:
        network, _ = cuts.cut(threshold)
        recovery(network, f"trial {len(done) + 1} of at most {trials}", trial_epochs, state=state)
        score, = recovery.evaluate(network).values()
        return distributed.same(score)

    def accuracy(threshold: float) -> float:
        found: float = done.get(repr(threshold), lambda: tried_at(threshold))
        if state is not None and distributed.first():
            state.unlink(missing_ok=True)  # of the trial, which is over
        _say(f"{cuts.left(threshold, BY):,} weights: {found:.4g} after {trial_epochs} epochs")
        return found

    best, tried = smallest_that_keeps(fitting, accuracy, whole, smallest, least)
    if best is None:
        why = f"nothing smaller keeps {least:.4g}" if tried else "no threshold leaves anything smaller"
        _say(f"{why}: the dense network stays as it is")
    return None if best is None else best.threshold, tried


def kept(drop: float, max_drop: float) -> str:
    """What a report says of the drop after the full recovery."""
    return f"the budget of {max_drop:g} is {'kept' if drop <= max_drop + 1e-9 else 'not kept'}: {drop:.4g} lost on validation, at the end"


def spent(state: Path) -> float:
    """Seconds that interrupted calls of `search` took, as far as they were kept."""
    return checkpoint.Results(_results(state), before=checkpoint.seconds(state)).seconds


def forget(state: Path) -> None:
    """Deletes what `search` kept."""
    for path in (state, _results(state)):
        if path is not None:
            path.unlink(missing_ok=True)


def _results(state: Path | None) -> Path | None:
    return None if state is None else state.with_suffix(".done")


def _say(line: str) -> None:
    if distributed.first():
        tqdm.write(line, file=sys.stderr)
