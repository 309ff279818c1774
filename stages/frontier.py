"""Accuracy against what is left: priors at several targets and seeds, and magnitude pruning at the same sizes with the same recovery.

    python -m stages.frontier -S recipe=default gaussian,gate,mixture:units=0.4,0.2,0.1,0.05 --seeds 1,2,3
    python -m stages.frontier gaussian:macs=0.2,0.1 log_uniform:nonzeros=0.1,0.05 --against nonzeros --jobs 2

Each target is prior.target's: a share below 1, or a count; the cut goes to it exactly. Experiments go through DVC's queue. The same
command again runs only those that are not done, and draws what is: a table (frontier.csv) and a picture."""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sparsify import artifacts
from sparsify.settings import InputError
from stages import frontier_picture, frontier_plan, frontier_runs, runtime, style
from stages.frontier_plan import MEASURES, Curve, Point
from stages.frontier_runs import Metrics, Runner
from stages.program import program

INTO = runtime.PLOTS / "frontier"


def frontier(points: Sequence[Point], runner: Runner, into: Path, against: str, on: str, title: str, drawing_alone: bool = False) -> bool:
    """Runs what is not done, writes the table and the picture of what is, and returns whether that is all.

    against: units, weights, nonzeros or macs; on: validation or test. Raises InputError."""
    names = [point.experiment.name for point in points]
    before = runner.done(names)
    left = [point.experiment for point in points if point.experiment.name not in before]
    print(f"{len(points) - len(left)} of {len(points)} experiments are done", flush=True)
    failed, interrupted = {}, False
    if left and not drawing_alone:
        try:
            failed = runner.run(left)
        except KeyboardInterrupt:
            interrupted = True
    done = runner.done(names)
    table = [row for point in points if point.experiment.name in done for row in rows(point, done[point.experiment.name])]
    if table:
        artifacts.write_csv(into / "frontier.csv", table)
        picture = into / f"frontier_{against}.png"
        style.save(picture, frontier_picture.frontier(pd.DataFrame(table), against, on, title))
        print(f"{into / 'frontier.csv'} and {picture}: {len(table) // 2} of {len(points)} experiments")
    for name, line in failed.items():
        print(f"failed: {name}: {line}")
    if interrupted:
        print("interrupted; the same command again goes on, and --draw draws what is done", file=sys.stderr)
        sys.exit(130)
    return len(table) == 2 * len(points)


def rows(point: Point, metrics: Metrics) -> Iterator[dict[str, Any]]:
    """Two of an experiment: the prior's network, and magnitude's of the same size. Accuracies are in percent; reached: what
    is left, by the measure of the target, as a share where the target is one."""
    baseline, prune, controls = (metrics[stage] for stage in ("baseline", "prune", "controls"))
    prior = {"accuracy": prune["accuracy_finetuned"], "validation_accuracy": prune["validation_accuracy_finetuned"], **_counts(prune)}
    magnitude = controls["magnitude"]
    of_magnitude = {"accuracy": magnitude["accuracy"], "validation_accuracy": magnitude["validation_accuracy"], **_counts(magnitude)}
    for method, network in ((point.kind, prior), ("magnitude", of_magnitude)):
        key = MEASURES[point.by]
        whole = network[f"{key}_total"] if point.target < 1 else 1
        yield {"prior": point.kind, "by": point.by, "target": point.target, "reached": network[f"{key}_left"] / whole, "seed": point.seed,
               "method": method, **network, "accuracy_dense": baseline["accuracy"],
               "validation_accuracy_dense": baseline["validation_accuracy"], "experiment": point.experiment.name}


def _counts(figures: Mapping[str, Any]) -> dict[str, int]:
    """The total of nonzeros is that of the weights."""
    return {f"{key}_{end}": figures["weights_total" if (key, end) == ("nonzeros", "total") else f"{key}_{end}"]
            for key in MEASURES.values() for end in ("left", "total")}


def _against(curves: Sequence[Curve]) -> str:
    """What all targets are of, or what all priors have in common."""
    measures = {curve.by for curve in curves}
    return measures.pop() if len(measures) == 1 else "nonzeros"


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise InputError(f"--seeds {text}: it has to be whole numbers with commas between, as in 1,2,3") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("curves", nargs="+", metavar="PRIOR,...:MEASURE=TARGET,...",
                        help=f"MEASURE is one of {', '.join(MEASURES)}; log_uniform and ard take nonzeros alone")
    parser.add_argument("-S", metavar="KEY=VALUE", dest="changes", action="append", default=[],
                        help="as for dvc exp run, of all experiments")
    parser.add_argument("--seeds", default="1,2,3", help="1,2,3 if not named")
    parser.add_argument("--against", choices=tuple(MEASURES),
                        help="what the picture counts; if not named, what the targets are of, or nonzeros where they are of several")
    parser.add_argument("--on", choices=("validation", "test"), default="validation", help="the accuracy to draw; the table has both")
    parser.add_argument("--into", metavar="DIR", type=Path, default=INTO, help=f"for the table and the picture; {INTO} if not named")
    parser.add_argument("--jobs", metavar="N", type=int, default=1, help="experiments at a time")
    parser.add_argument("--here", metavar="DIR", type=Path,
                        help="without DVC: in this checkout, one after another; DIR keeps what came out")
    parser.add_argument("--draw", action="store_true", help="run nothing, draw what is done")
    chosen = parser.parse_args()
    if chosen.jobs < 1 or (chosen.here and chosen.jobs > 1):
        sys.exit("error: --jobs has to be 1 or more, and 1 with --here, as one checkout runs one experiment at a time")
    with program():
        curves = [frontier_plan.curve(text) for text in chosen.curves]
        points = frontier_plan.points(curves, _seeds(chosen.seeds), chosen.changes)
        runner: Runner = frontier_runs.Here(chosen.here) if chosen.here else frontier_runs.Queue(chosen.jobs)
        whole = frontier(points, runner, chosen.into, chosen.against or _against(curves), chosen.on, " ".join(chosen.changes), chosen.draw)
    sys.exit(not whole)


if __name__ == "__main__":
    main()
