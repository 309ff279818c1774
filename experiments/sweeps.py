"""From the metrics of sweeps to the sentences and the pictures of docs/sweep.md.

    python -m experiments.sweeps                           from docs/results/*/sweep.json and sweep.csv, and from metrics/sweep.json
    python -m experiments.sweeps --keep fashion-mnist-mlp  first keeps the present sweep as that recipe's in docs/results/"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from experiments import recipes
from experiments.collect import TABLE
from experiments.places import DOCS, KEPT, TOP
from experiments.recipes import composed
from experiments.tables import filled
from sparsify.settings import InputError, build
from stages import style
from stages.params import Params
from stages.program import program
from stages.sweep_pictures import largest_batch, sweep_curves, sweep_speedup, timing_threads

PAGE = DOCS / "sweep.md"
STAGES = ("sweep", "prune", "benchmark")
FILES = (*(f"metrics/{stage}.json" for stage in STAGES), "plots/sweep.csv")


def sentences(recipe: str, folder: str, metrics: Mapping[str, Any]) -> str:
    """The two pictures, where each plateau ends, what validation would choose, and the prior's network of the same run.

    folder: of the pictures, seen from docs/; metrics: of the stages sweep, prune and benchmark"""
    sweep, prune = metrics["sweep"], metrics["prune"]
    weights, units = sweep["weights"], sweep["units"]
    batch, speedup = largest_batch(metrics["benchmark"])
    chosen, lossless = units["recovered"]["within_drop"], units["recovered"]["lossless"]
    return f"""![Accuracy against the share removed, {recipe}]({folder}/sweep.png)

Dense {sweep["dense"]["accuracy"]:.2f} %. The plateau of weight pruning reaches {_ends(weights)}; that of unit pruning {_ends(units)}.

{_network("The smallest retrained network within the drop on validation", chosen)}
{_network("The smallest that loses nothing on validation", lossless)}
The prior's network of the same run has lost {prune["hidden_removed_percent"]:.1f} %, and ends at {prune["accuracy_finetuned"]:.2f} %
after a longer recovery; timed apart, in batches of {batch:,}, it is {speedup:.1f} times as fast.

![Accuracy against speed-up, {recipe}]({folder}/sweep_speedup.png)

{sweep["seeds"]} seeds; {sweep["device"]}, timed on {timing_threads(sweep)} thread; torch {sweep["torch"]}; {sweep["seconds"]:.0f} s."""


def _ends(curves: Mapping[str, Any]) -> str:
    ends = [curves[phase]["plateau_percent"] for phase in ("pruned", "recovered")]
    pruned, recovered = ("nowhere" if end is None else f"{end:g} %" for end in ends)
    return f"{pruned} as pruned and {recovered} after retraining"


def _network(which: str, point: Mapping[str, float]) -> str:
    if not point:
        return f"{which}: there is none."
    return (f"{which} has lost {point['share']:g} % of its units: {point['accuracy']:.2f} ± {point['accuracy_std']:.2f} %\n"
            f"on the test set, which it runs {point['speedup']:.1f} times as fast.")


def draw(recipe: str, folder: Path, metrics: Mapping[str, Any]) -> None:
    """The pictures of a sweep that was kept, beside its figures."""
    params, rows = build(Params, composed(f"recipe={recipe}")), pd.read_csv(folder / "sweep.csv")
    style.save(folder / "sweep.png", sweep_curves(params, dict(metrics), rows, KEPT / TABLE))
    style.save(folder / "sweep_speedup.png", sweep_speedup(params, dict(metrics), rows))


def keep(recipe: str) -> None:
    if f"<!-- made: {recipe} -->" not in PAGE.read_text():
        raise InputError(f"{PAGE.name} has no place for {recipe}; put '<!-- made: {recipe} -->' and '<!-- end -->' where it belongs")
    recipes.keep(recipe, *FILES)


@program()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", metavar="RECIPE")
    arguments = parser.parse_args()
    if arguments.keep:
        keep(arguments.keep)
    places = {path.parent.name: (path.parent, f"results/{path.parent.name}") for path in sorted(KEPT.glob("*/sweep.json"))}
    if recipes.present() == "default":
        places["default"] = TOP / "metrics", "../plots"
    metrics = {recipe: {stage: json.loads((where / f"{stage}.json").read_text())[stage] for stage in STAGES}
               for recipe, (where, _) in places.items()}
    for recipe, (where, _) in places.items():
        if where.parent == KEPT:
            draw(recipe, where, metrics[recipe])
    filled(PAGE, {recipe: sentences(recipe, folder, metrics[recipe]) for recipe, (_, folder) in places.items()})
    print(f"{PAGE.relative_to(TOP)}: {', '.join(places)}")


if __name__ == "__main__":
    main()
