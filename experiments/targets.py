"""Does a target hold? Bayesian twins led to three sizes an octave apart, with every prior: what they expect to keep, and what a cut leaves.

    python -m experiments.targets                                    the default recipe, some minutes on one core
    python -m experiments.targets -S recipe=mnist-lenet-300-100      another
    python -m experiments.targets -S recipe=mnist-lenet-300-100 --own units=73     one size, after recovery; with --lead 2 one way alone
    python -m experiments.targets --docs                             puts the tables of what was measured into docs/

Accuracy is that on validation, before recovery but for --own. Beside each prior stands what `prior.beta` of the recipe gives where it is
cut to the same sizes, if the recipe has that prior."""

import argparse
import itertools
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

from benchmarks import report
from experiments.orders import FREE, RESULTS, made, spread, twin_of
from experiments.places import DOCS, TOP
from experiments.tables import filled
from sparsify.bayes.convert import bake
from sparsify.bayes.priors import KINDS, Target
from sparsify.compaction import scores
from sparsify.cuts import Cuts
from sparsify.measure.accuracy import accuracy_percent
from sparsify.measure.size import SIZES, counted
from stages import compose, networks, runtime
from stages.program import program

TARGETS = {"macs": (0.2, 0.1, 0.05), "nonzeros": (0.1, 0.05, 0.025)}  # of a prior on units, and of one on single weights
WAYS = {0: "`prior.beta`", 1: "the size", 2: "twice the size"}  # that lead to a network of one size, by how many times that the target is
Row = dict[str, Any]


def measured(folder: Path, overrides: Sequence[str], by: str, shares: Sequence[float]) -> list[Row]:
    """A row a size. expected: what the twin's own count says at the end, over the whole, where it was led to a target"""
    twin, structure, dataset, inputs = twin_of(folder, overrides)
    cuts = Cuts(bake(twin), scores(twin, structure), structure, networks.example(dataset), inputs)
    curve = pd.read_csv(folder / "plots" / "bayesian_curve.csv")
    expected = curve["expected_size_percent"].iloc[-1] / 100 if "expected_size_percent" in curve else None
    rows = []
    for share in shares:
        threshold = cuts.exactly(Target(**{by: share}))
        network = cuts.at(threshold)
        rows.append({"by": by, "target": share, "expected": expected, "left": counted(cuts.size(network), by) / counted(cuts.before, by),
                     "threshold": threshold, "accuracy": accuracy_percent(network, dataset.validation)})
    return rows


def size_of(text: str) -> str:
    """units=73: a count. Raises ArgumentTypeError for what says no size."""
    by, _, value = text.partition("=")
    if by not in SIZES or not value.isdigit() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no size; write one of {', '.join(SIZES)} with a count, as in units=73")
    return text


def recovered(folder: Path, overrides: Sequence[str], size: str, seed: int, leads: Sequence[int]) -> list[Row]:
    """The recipe's own prior cut to one size and fine-tuned: led by prior.beta, and to so many times the size."""
    by, _, value = size.partition("=")
    rows = []
    for led in leads:
        lead = [f"prior.target.{by}={led * int(value)}"] if led else []
        made(folder, [*overrides, *FREE, f"prune.target.{by}={value}", *lead], ["train_bayesian", "prune"])
        found = json.loads((folder / runtime.METRICS / "prune.json").read_text())["prune"]
        bayesian = json.loads((folder / runtime.METRICS / "bayesian.json").read_text())["bayesian"]
        rows.append({"seed": seed, "led": led, "size": size, "left": found["hidden_left" if by == "units" else f"{by}_left"],
                     "bayesian": bayesian["validation_accuracy"], "accuracy": found["validation_accuracy_finetuned"]})
    return rows


def at_all_sizes(priors: Sequence[str], seeds: Sequence[int], overrides: Sequence[str], own: str, scratch: Path) -> list[Row]:
    """A row a prior, seed and size, before recovery; of the prior `own`, the recipe's, what its beta gives as well."""
    rows = []
    for seed, prior in tqdm(list(itertools.product(seeds, priors)), "priors", disable=None):
        by, folder = "nonzeros" if KINDS[prior].groups == "weights" else "macs", scratch / f"seed-{seed}"
        common = [*overrides, *FREE, f"seed={seed}", f"prior.kind={prior}"]
        if prior == own:
            rows += [{"prior": prior, "seed": seed, "led": False, **row} for row in measured(folder, common, by, TARGETS[by])]
        for share in TARGETS[by]:
            found = measured(folder, [*common, f"prior.target.{by}={share}"], by, [share])
            rows += [{"prior": prior, "seed": seed, "led": True, **row} for row in found]
    return rows


def tables(rows: Sequence[Row]) -> str:
    """A line a prior and way to lead it: at each size what the twin expected, and the accuracy of the cut."""
    shown = []
    for prior, led in dict.fromkeys((row["prior"], row["led"]) for row in rows):
        line = {"prior": f"`{prior}`", "led by": "the target" if led else "`prior.beta`"}
        by = next(row["by"] for row in rows if row["prior"] == prior)
        for number, share in enumerate(TARGETS[by]):
            found = [row for row in rows if (row["prior"], row["led"], row["target"]) == (prior, led, share)]
            expected = f"{100 * mean(row['expected'] for row in found):.2f}" if found[0]["expected"] is not None else ""
            line |= {f"size {number + 1}, %": f"{100 * share:g} of the {'non-zeros' if by == 'nonzeros' else 'MACs'}",
                     f"expected {number + 1}, %": expected, f"accuracy {number + 1}, %": spread([row["accuracy"] for row in found])}
        shown.append(line)
    return report.table(shown)


def own_table(kept: Mapping[str, Sequence[Row]]) -> str:
    shown = []
    for recipe, rows in kept.items():
        found = {led: {row["seed"]: row["accuracy"] for row in rows if row["led"] == led} for led in WAYS}
        gains = {led: [accuracy - found[0][seed] for seed, accuracy in found[led].items() if seed in found[0]] for led in WAYS if led}
        shown.append({"recipe": f"`{recipe}`", "cut to": rows[0]["size"].replace("=", " "),
                      **{f"{way}, %": _spread(found[led].values()) for led, way in WAYS.items()},
                      **{f"gain of {WAYS[led]}": _spread(gain) for led, gain in gains.items()}})
    return report.table(shown)


def _spread(values: Iterable[float]) -> str:
    return spread(known) if (known := list(values)) else ""


def with_earlier(rows: Sequence[Row], path: Path) -> list[Row]:
    """And what an earlier call measured besides: other seeds and priors, other ways to lead; of --own at the same size alone."""
    def key(row: Row) -> tuple[Any, ...]:
        return tuple(row.get(name) for name in ("prior", "seed", "led", "target"))

    def place(row: Row) -> tuple[Any, ...]:
        return (list(KINDS).index(row["prior"]), row["led"]) if "prior" in row else (row["seed"], row["led"])

    before = json.loads(path.read_text())["rows"] if path.exists() else []
    known = {key(row) for row in rows}
    kept = [row for row in before if row.get("size") == rows[0].get("size") and key(row) not in known]
    return sorted([*kept, *rows], key=place)


def into_docs() -> None:
    kept = {path.stem: json.loads(path.read_text())["rows"] for path in sorted(RESULTS.glob("targets-*.json"))}
    own = {path.stem.removeprefix("own-"): json.loads(path.read_text())["rows"] for path in sorted(RESULTS.glob("own-*.json"))}
    filled(DOCS / "targets.md", {"targets-default": tables(kept.pop("targets-default")), "targets-own": own_table(own)})
    filled(DOCS / "tables" / "targets.md", {name: tables(rows) for name, rows in kept.items()})


@program()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--priors", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[4, 5])
    parser.add_argument("-S", dest="overrides", metavar="KEY=VALUE", action="append", default=[], help="as of dvc exp run")
    parser.add_argument("--own", metavar="SIZE", type=size_of, help="units=73, say: beta and the target at one size, after recovery")
    parser.add_argument("--lead", type=int, nargs="+", choices=WAYS, default=list(WAYS), help="of --own: 0 by prior.beta, 1 to the size, "
                        "2 to twice the size; what the file of an earlier call has besides stays")
    parser.add_argument("--docs", action="store_true", help="measure nothing; put the tables of what was measured into docs/")
    arguments = parser.parse_args()
    if arguments.docs:
        return into_docs()
    torch.set_num_threads(1)
    about = report.provenance(overrides=arguments.overrides, seeds=arguments.seeds)
    recipe = compose.composed(*arguments.overrides, conf=TOP / "conf")
    name = recipe["recipe_name"]
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.own:
            rows = [row for seed in tqdm(arguments.seeds, "seeds", disable=None)
                    for row in recovered(Path(scratch) / f"seed-{seed}", [*arguments.overrides, f"seed={seed}"], arguments.own, seed,
                                         arguments.lead)]
        else:
            rows = at_all_sizes(arguments.priors, arguments.seeds, arguments.overrides, recipe["prior"]["kind"], Path(scratch))
    kept = f"{'own' if arguments.own else 'targets'}-{name}"
    recipe_alone = all(override.startswith("recipe=") for override in arguments.overrides)
    rows = with_earlier(rows, RESULTS / f"{kept}.json") if recipe_alone else rows
    print(about, own_table({name: rows}) if arguments.own else tables(rows), sep="\n")
    if recipe_alone:
        report.write(kept, about | {"seeds": sorted({row["seed"] for row in rows})}, rows, RESULTS)
    else:
        print(f"no file keeps them: {name} has other parameters")


if __name__ == "__main__":
    main()
