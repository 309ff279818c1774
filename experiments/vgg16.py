"""VGG-16's own tables, docs/tables/vgg16.md: channels kept by layer, latency, and how both grow with the width of the network.

    python -m experiments.vgg16           from what docs/results/cifar10-vgg16-short/ keeps, and from docs/results/results.csv
    python -m experiments.vgg16 --keep    first keeps the present run there, if it is one of cifar10-vgg16-short"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from experiments import recipes, results
from experiments.collect import TABLE
from experiments.places import DOCS, KEPT, TOP
from experiments.tables import Table, filled, markdown, mean
from sparsify.models import VGG16_WIDTHS
from sparsify.settings import InputError
from stages import style
from stages.params import CONTROLS
from stages.program import program

RECIPE = "cifar10-vgg16-short"  # which a CPU can train
FILES = ("plots/units.csv", "plots/threshold_scan.csv", *(f"plots/{curve}_curve.csv" for curve in ("baseline", "bayesian", "finetune")),
         "metrics/prune.json", "metrics/benchmark.json")
FOLDER, PAGE = KEPT / RECIPE, DOCS / "tables" / "vgg16.md"
# Channels that others keep of the full network: "Neuron sparsification via variational dropout".
PUBLISHED = {"row mixture, 87.40 %": (56, 60, 120, 122, 180, 66, 45, 27, 19, 29, 21, 27, 35)}
FULL = [width for width in VGG16_WIDTHS if width != "pool"]
WIDTH_OVERRIDE = "model.width="
LEVELS = (90, 93, 94)  # percent; KellerJordan/cifar10-airbench is measured at the last


def channels(units: pd.DataFrame, published: Mapping[str, Sequence[int]]) -> Table:
    """A row a convolution: what we keep of how many, and the published figures of the full network.  units: layer, total, kept"""
    convolutions = units[units["layer"].str.startswith("conv")]
    table = [["layer", "ours", "kept %", *(column for name in published for column in (f"{name}, of {sum(FULL):,}", "kept %"))]]
    for number, row in enumerate(convolutions.itertuples()):
        others = [text for kept in published.values() for text in _of(kept[number], FULL[number])]
        table.append([row.layer, *_of(row.kept, row.total), *others])
    others = [text for kept in published.values() for text in _of(sum(kept), sum(FULL))]
    return [*table, ["together", *_of(convolutions["kept"].sum(), convolutions["total"].sum()), *others]]


def latency(benchmark: Mapping[str, Any]) -> str:
    """A row a batch size: medians and quartiles of dense and compact, and where they come from.  benchmark: as the stage writes it"""
    table = [["batch", "dense, ms (quartiles)", "compact, ms", "times as fast"]]
    for key, ratio in benchmark["speedup"].items():
        times = [benchmark[network][f"latency_ms_{key}"] for network in ("dense", "compact")]
        table.append([key.removeprefix("batch_"), *(_spread(values) for values in (*times, ratio))])
    return (f"{markdown(table)}\n\n{benchmark['repeats']} rounds of both in turn, {benchmark['dtype']}, "
            f"{benchmark['threads']} thread; {benchmark['device']}; torch {benchmark['torch']}.")


def time_to(curve: pd.DataFrame, levels: Sequence[float] = LEVELS) -> Table:
    """A row a level of validation accuracy: after how many epochs and minutes training first had it.  curve: as `fit` returns it"""
    table = [["accuracy on validation", "epochs", "minutes"]]
    minutes = curve["seconds"].cumsum() / 60
    for level in levels:
        there = curve["validation_accuracy"] >= level
        first = there.idxmax()
        table.append([f"{level:g} %", *((f"{curve['epoch'][first]}", f"{minutes[first]:.1f}") if there.any() else ("not reached", ""))])
    return table


def by_width(rows: pd.DataFrame) -> pd.DataFrame:
    """The prior's rows that differ from the recipe in the width alone, with that width, in order."""
    chosen = (rows["recipe"] == RECIPE) & ~rows["method"].isin(CONTROLS) & rows["overrides"].str.fullmatch(rf"({WIDTH_OVERRIDE}\S+)?")
    rows = rows[chosen]
    width = rows["overrides"].str.removeprefix(WIDTH_OVERRIDE).replace("", 1).astype(float)
    return rows.assign(width=width).drop_duplicates(["width", "seed"], keep="last").sort_values(["width", "seed"])  # 0.5 and 0.50 are one


def widths(rows: pd.DataFrame) -> Table:
    table = [["width", "seeds", "dense %", "compact %", "channels and units removed %", "weights", "MACs, millions", "hours"]]
    for width, group in rows.groupby("width"):
        table.append([f"{width:g}", str(len(group)), *(mean(values, digits) for values, digits in (
            (group["accuracy_dense"], 2), (group["accuracy"], 2), (results.MEASURES["hidden_removed"](group), 1))),
            f"{mean(group['weights_left'])} of {group['weights_total'].iloc[0]:,}",
            f"{mean(group['macs_left'] / 1e6, 2)} of {group['macs_total'].iloc[0] / 1e6:.1f}",
            mean(group["seconds"] / 3600, 1)])
    return table


def picture(rows: pd.DataFrame) -> Figure:
    """Accuracy dense and compact, and the share removed, against the width: means over the seeds."""
    measured = {key: results.MEASURES[key](rows) for key in ("hidden_removed", "compression")}
    means = rows.assign(**measured).groupby("width").mean(numeric_only=True)
    figure = style.figure(3.4, "VGG-16 on CIFAR-10, by its width")
    accuracy, removed = figure.subplots(1, 2)
    curves = {accuracy: {"dense": (means["accuracy_dense"], style.DENSE), "compact": (means["accuracy"], style.COMPACT)},
              removed: {"weights": (100 - 100 / means["compression"], style.Look(style.VERMILION, "v")),
                        "channels and\nunits": (means["hidden_removed"], style.Look(style.BLUE, "o"))}}
    for axes, lines in curves.items():
        for name, (line, look) in lines.items():
            axes.plot(line, marker=look.marker, color=look.color, label=name)
        axes.set(xlabel="width, of VGG-16's", xscale="log")
        axes.set_xticks(means.index, [f"{width:g}" for width in means.index], minor=False)
        axes.minorticks_off()
    accuracy.set(ylabel="test accuracy (%)")
    removed.set(ylabel="removed (%)", ylim=(None, 100))
    for axes, lines in curves.items():
        style.label_ends(axes, [style.Label(name, line.index[-1], line.iloc[-1], look.color) for name, (line, look) in lines.items()])
    return figure


def _of(kept: int, total: int) -> tuple[str, str]:
    return f"{kept:,} of {total:,}", f"{100 * kept / total:.1f}"


def _spread(values: Mapping[str, float]) -> str:
    median, low, high = (f"{float(f'{values[key]:.3g}'):,g}" for key in ("median", "q25", "q75"))
    return f"{median} ({low}-{high})"


@program()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="copy the present run's files first")
    try:
        if parser.parse_args().keep:
            recipes.keep(RECIPE, *FILES)
        units, benchmark = pd.read_csv(FOLDER / "units.csv"), json.loads((FOLDER / "benchmark.json").read_text())["benchmark"]
        rows = by_width(pd.read_csv(KEPT / TABLE, keep_default_na=False))
        if rows.empty:
            raise InputError(f"{(KEPT / TABLE).relative_to(TOP)} has no row of {RECIPE}; run it, and python -m experiments.collect --docs")
        style.save(FOLDER / "widths.png", picture(rows))
        filled(PAGE, {"channels": markdown(channels(units, PUBLISHED)), "latency": latency(benchmark),
                              "time to": markdown(time_to(pd.read_csv(FOLDER / "baseline_curve.csv"))),
                              "widths": markdown(widths(rows))})
    except FileNotFoundError as error:
        sys.exit(f"error: {error.filename} does not exist; run dvc exp run -S recipe={RECIPE}, collect --docs, and this with --keep")
    print(f"{PAGE.relative_to(TOP)} from {len(rows)} rows")


if __name__ == "__main__":
    main()
