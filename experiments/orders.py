"""Which unit goes next: Bayesian twins of one recipe, cut to equal sizes by every order of removal, on validation and before recovery.

    python -m experiments.orders                                            the default recipe, 4 minutes on one core
    python -m experiments.orders --name lenet5 --priors gate -S model.name=lenet5
    python -m experiments.orders --docs                                     puts the tables of what was measured into docs/tables/orders.md

Each seed trains its own dense network, and from it a twin a prior, whose `prior.target` is the same for all. The size is a share of the
hidden units or of the multiply-accumulates; of each order the highest threshold is taken that leaves no more than that. The two orders
whose threshold of 0 means something are cut there too."""

import argparse
import contextlib
import importlib
import itertools
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from benchmarks import report
from experiments.places import DOCS, TOP
from experiments.tables import filled
from sparsify import data, settings
from sparsify.bayes.convert import bake
from sparsify.bayes.priors import Target
from sparsify.compaction import ORDERS, scores
from sparsify.compress.remove import settled
from sparsify.cuts import Cuts
from sparsify.measure.accuracy import accuracy_percent
from sparsify.measure.size import size, total
from sparsify.structure import Structure
from stages import compose, networks, reading, runtime, twins
from stages import inputs as inputs_of
from stages.params import Params
from stages.program import program

RESULTS = Path(__file__).parent / "results"
SHARES = {"units": (0.3, 0.2, 0.1, 0.06), "macs": (0.2, 0.1, 0.05, 0.03)}
NAMES = {"units": "units", "macs": "MACs"}
AT_ZERO = ("log_alpha", "evidence")
FREE = [f"{section}.target.{field.name}=null" for section in ("prior", "prune") for field in fields(Target)]  # of the recipe
Row = dict[str, Any]


def made(folder: Path, overrides: Sequence[str], stages: Sequence[str]) -> Params:
    """Runs the stages in `folder`, after what they need: the data and the dense network that are there stay for the next prior."""
    folder.mkdir(exist_ok=True)
    composed = compose.composed(*overrides, conf=TOP / "conf")
    (folder / "params.yaml").write_text(reading.written(composed))
    first = [stage for stage, path in (("download", runtime.DATASET), ("train_baseline", runtime.BASELINE)) if not (folder / path).exists()]
    for stage in (*first, *stages):
        with contextlib.chdir(folder), contextlib.redirect_stdout(sys.stderr):
            runtime.main(getattr(importlib.import_module(f"stages.{stage}"), stage))
    return settings.build(Params, composed)


def twin_of(folder: Path, overrides: Sequence[str]) -> tuple[nn.Module, Structure, data.Dataset, bool]:
    """-> the twin, the structure of its dense network, the data, and whether inputs may leave"""
    params = made(folder, overrides, ["train_bayesian"])
    dataset = data.load(folder / runtime.DATASET, runtime.device())
    architecture, example = networks.architecture(params, dataset), networks.example(dataset)
    dense = networks.load(folder / runtime.BASELINE, architecture)
    structure = settled(dense, example)
    twin = twins.load(folder / runtime.BAYESIAN, example, architecture, structure)
    return twin, structure, dataset, inputs_of.may_leave(params, dense, structure)


def measured(twin: nn.Module, structure: Structure, dataset: data.Dataset, inputs: bool) -> Iterable[Row]:
    """A row a size and order: accuracy, percent, and the units and MACs that were left."""
    plain, example = bake(twin), networks.example(dataset)
    whole = size(plain, structure, example)

    def row(cut_by: str, share: float | None, order: str, network: nn.Module) -> Row:
        left = size(network, structure, example)
        return {"cut": cut_by, "share": share, "order": order, "accuracy": accuracy_percent(network, dataset.validation),
                "units": total(left.hidden) / total(whole.hidden), "macs": left.macs / whole.macs}

    yield row("uncut", None, "none", plain)
    for order in ORDERS:
        cuts = Cuts(plain, scores(twin, structure, order), structure, example, inputs, before=whole)
        if order in AT_ZERO:
            yield row("zero", None, order, cuts.at(0.0))
        for by, shares in SHARES.items():
            for share in shares:
                yield row(by, share, order, cuts.at(cuts.exactly(Target(**{by: share}))))


def at_equal_size(rows: Sequence[Row]) -> list[Row]:
    """A line a prior and size: accuracy, and in brackets what the order left of the other measure, in percent.

    Bold: further above log_alpha than the larger of the two deviations."""
    table = []
    for prior, by in itertools.product(dict.fromkeys(row["prior"] for row in rows), SHARES):
        other = "units" if by == "macs" else "macs"
        for share in SHARES[by]:
            cells = {order: [row for row in rows if (row["prior"], row["cut"], row["share"], row["order"]) == (prior, by, share, order)]
                     for order in ORDERS}
            table.append({"prior": f"`{prior}`", "left": f"{100 * share:g} % of {NAMES[by]}",
                          **{f"`{order}`": f"{_bold(found, cells['log_alpha'])} ({100 * mean(row[other] for row in found):.1f})"
                             for order, found in cells.items()}})
    return table


def at_zero(rows: Sequence[Row]) -> list[Row]:
    """By prior: the whole twin, and what a threshold of 0 leaves of it by each order that has a meaning for one."""
    table = []
    for prior, (cut, order) in itertools.product(dict.fromkeys(row["prior"] for row in rows),
                                                 [("uncut", "none"), *(("zero", order) for order in AT_ZERO)]):
        found = [row for row in rows if (row["prior"], row["cut"], row["order"]) == (prior, cut, order)]
        table.append({"prior": f"`{prior}`", "cut at 0 of": "" if cut == "uncut" else f"`{order}`",
                      "units left, %": spread([100 * row["units"] for row in found], 1),
                      "MACs left, %": spread([100 * row["macs"] for row in found], 1),
                      "accuracy, %": spread([row["accuracy"] for row in found])})
    return table


def tables(rows: Sequence[Row]) -> str:
    return f"{report.table(at_equal_size(rows))}\n\n{report.table(at_zero(rows))}"


def into_docs() -> None:
    kept = {path.stem: json.loads(path.read_text())["rows"] for path in sorted(RESULTS.glob("orders-*.json"))}
    filled(DOCS / "tables" / "orders.md", {name: tables(rows) for name, rows in kept.items()})


def _bold(found: Sequence[Row], present: Sequence[Row]) -> str:
    values, log_alpha = ([row["accuracy"] for row in each] for each in (found, present))
    wins = len(values) > 1 and mean(values) - mean(log_alpha) > max(stdev(values), stdev(log_alpha))
    return f"**{spread(values)}**" if wins else spread(values)


def spread(values: Sequence[float], digits: int = 2) -> str:
    return f"{mean(values):.{digits}f}" + (f" ± {stdev(values):.{digits}f}" if len(values) > 1 else "")


@program()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="default", help="of what is written: experiments/results/orders-NAME.json")
    parser.add_argument("--priors", nargs="+", default=["gaussian", "gate", "mixture"], help="of units")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("-S", dest="overrides", metavar="KEY=VALUE", action="append", default=[], help="as of dvc exp run")
    parser.add_argument("--target", type=float, default=0.1, help="prior.target.macs of every twin")
    parser.add_argument("--docs", action="store_true", help="measure nothing; put the tables of what was measured into docs/tables/")
    arguments = parser.parse_args()
    if arguments.docs:
        return into_docs()
    torch.set_num_threads(1)
    about = report.provenance(overrides=arguments.overrides, target_macs=arguments.target, seeds=arguments.seeds)
    rows: list[Row] = []
    pairs = [(seed, prior) for seed in arguments.seeds for prior in arguments.priors]
    with tempfile.TemporaryDirectory() as scratch:
        for seed, prior in tqdm(pairs, "twins", disable=None):
            overrides = [*FREE, f"prior.target.macs={arguments.target}", *arguments.overrides, f"seed={seed}", f"prior.kind={prior}"]
            twin = twin_of(Path(scratch) / f"seed-{seed}", overrides)
            rows += [{"prior": prior, "seed": seed, **row} for row in measured(*twin)]
    rows.sort(key=lambda row: arguments.priors.index(row["prior"]))
    print(about, tables(rows), sep="\n")
    report.write(f"orders-{arguments.name}", about, rows, RESULTS)


if __name__ == "__main__":
    main()
