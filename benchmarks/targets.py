"""Does a target hold? Bayesian twins led to three sizes an octave apart, with every prior: what they expect to keep, and what a cut leaves.

    python -m benchmarks.targets                                    the default recipe, some minutes on one core
    python -m benchmarks.targets -S recipe=mnist-lenet-300-100      another
    python -m benchmarks.targets --docs                             puts the tables of what was measured into docs/theory.md

Accuracy is that on validation, before recovery. Beside each prior stands what `prior.beta` of the recipe gives where it is cut to the same
sizes, if the recipe has that prior."""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

from benchmarks import report
from benchmarks.orders import TOP, spread, twin_of
from sparsify.bayes.convert import bake
from sparsify.bayes.priors import KINDS, Target
from sparsify.compaction import scores
from sparsify.cuts import Cuts
from sparsify.measure.accuracy import accuracy_percent
from sparsify.measure.size import counted
from sparsify.settings import InputError
from stages import compose, networks

TARGETS = {"macs": (0.2, 0.1, 0.05), "nonzeros": (0.1, 0.05, 0.025)}  # of a prior on units, and of one on single weights
SINGLE = ("log_uniform", "ard")
Row = dict[str, Any]


def measured(folder: Path, overrides: Sequence[str], by: str, shares: Sequence[float]) -> list[Row]:
    """A row a size. expected: what the twin's own count says at the end, over the whole, where it was led to a target"""
    twin, structure, dataset = twin_of(folder, overrides)
    cuts = Cuts(bake(twin), scores(twin, structure), structure, networks.example(dataset))
    curve = pd.read_csv(folder / "plots" / "bayesian_curve.csv")
    expected = curve["expected_size_percent"].iloc[-1] / 100 if "expected_size_percent" in curve else None
    rows = []
    for share in shares:
        threshold = cuts.exactly(Target(**{by: share}))
        network = cuts.at(threshold)
        rows.append({"by": by, "target": share, "expected": expected, "left": counted(cuts.size(network), by) / counted(cuts.before, by),
                     "threshold": threshold, "accuracy": accuracy_percent(network, dataset.validation)})
    return rows


def tables(rows: Sequence[Row]) -> str:
    shown = []
    for key in dict.fromkeys((row["prior"], row["led"], row["by"], row["target"]) for row in rows):
        prior, led, by, target = key
        found = [row for row in rows if (row["prior"], row["led"], row["by"], row["target"]) == key]
        expected = f"{100 * mean(row['expected'] for row in found):.2f}" if found[0]["expected"] is not None else ""
        shown.append({"prior": f"`{prior}`", "led by": "the target" if led else "`prior.beta`",
                      "target": f"{100 * target:g} % of {'non-zeros' if by == 'nonzeros' else 'MACs'}",
                      "the twin expects, %": expected, "cut to, %": f"{100 * mean(row['left'] for row in found):.2f}",
                      "at a threshold of": spread([row["threshold"] for row in found], 1),
                      "accuracy, %": spread([row["accuracy"] for row in found])})
    return report.table(shown)


def into_docs() -> None:
    from benchmarks.results import filled  # needs DVC

    kept = {path.stem: json.loads(path.read_text())["rows"] for path in sorted(report.RESULTS.glob("targets-*.json"))}
    filled(TOP / "docs" / "theory.md", {name: tables(rows) for name, rows in kept.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--priors", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[4, 5])
    parser.add_argument("-S", dest="overrides", metavar="KEY=VALUE", action="append", default=[], help="as of dvc exp run")
    parser.add_argument("--docs", action="store_true", help="measure nothing; put the tables of what was measured into docs/theory.md")
    arguments = parser.parse_args()
    if arguments.docs:
        return into_docs()
    torch.set_num_threads(1)
    rows: list[Row] = []
    try:
        recipe = compose.composed(*arguments.overrides, conf=TOP / "conf")
        with tempfile.TemporaryDirectory() as scratch:
            for seed, prior in tqdm([(seed, prior) for seed in arguments.seeds for prior in arguments.priors], "priors", disable=None):
                by = "nonzeros" if prior in SINGLE else "macs"
                common = [*arguments.overrides, f"seed={seed}", f"prior.kind={prior}"]
                folder = Path(scratch) / f"seed-{seed}"
                if recipe["prior"]["kind"] == prior:
                    rows += [{"prior": prior, "seed": seed, "led": False, **row} for row in measured(folder, common, by, TARGETS[by])]
                for share in TARGETS[by]:
                    led = measured(folder, [*common, f"prior.target.{by}={share}"], by, [share])
                    rows += [{"prior": prior, "seed": seed, "led": True, **row} for row in led]
    except InputError as error:
        sys.exit(f"error: {error}")
    rows.sort(key=lambda row: (arguments.priors.index(row["prior"]), row["led"]))
    about = report.provenance(overrides=arguments.overrides, seeds=arguments.seeds)
    print(about, tables(rows), sep="\n")
    report.write(f"targets-{recipe['recipe_name']}", about, rows)


if __name__ == "__main__":
    main()
