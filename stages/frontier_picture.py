"""The picture of a frontier: accuracy against what is left, and how far each prior is above magnitude pruning at its own sizes."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.frontier_plan import MEASURES
from stages.sweep_pictures import stretch_accuracy

COLORS = {"gaussian": "#0072B2", "mixture": "#D55E00", "gate": "#009E73", "log_uniform": "#CC79A7", "ard": "#E69F00"}  # Okabe and Ito's
NAMES = {"units": "hidden units", "weights": "weights", "nonzeros": "non-zero weights", "macs": "multiply-accumulates"}
CURVE = ["prior", "by"]
NEAREST = 0.05  # of the height of a panel, between two labels


def frontier(rows: pd.DataFrame, against: str, on: str, title: str) -> Figure:
    """Left the accuracies, priors solid and magnitude dashed in the colour of the prior whose sizes it has; right the difference, seed by
    seed. Lines are means, bands one standard deviation over the seeds.

    rows: of stages.frontier; against: units, weights, nonzeros or macs; on: validation or test"""
    key, count = "accuracy" if on == "test" else "validation_accuracy", MEASURES[against]
    rows = rows.assign(left=100 * rows[f"{count}_left"] / rows[f"{count}_total"], shown=rows[key], dense=rows[f"{key}_dense"])
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    levels, differences = figure.subplots(1, 2)
    ends: dict[Axes, dict[str, tuple[float, float]]] = {levels: {}, differences: {}}
    several = rows.groupby("prior")["by"].nunique()
    for (prior, by), curve in rows.groupby(CURVE, sort=False):
        name = f"{prior} by {by}" if several[str(prior)] > 1 else str(prior)
        ours, magnitude = (curve[(curve["method"] == "magnitude") == which].set_index(["target", "seed"]) for which in (False, True))
        ends[levels][name] = _line(levels, ours["left"], ours["shown"], COLORS[str(prior)])
        _line(levels, magnitude["left"], magnitude["shown"], COLORS[str(prior)], dashed=True)
        ends[differences][name] = _line(differences, ours["left"], ours["shown"] - magnitude["shown"], COLORS[str(prior)])
    dense = rows["dense"].mean()
    levels.axhline(dense, color="0.35", linewidth=1)
    differences.axhline(0, color="0.35", linewidth=1, linestyle="--")
    stretch_accuracy(levels, pd.concat([rows["shown"], rows["dense"]]), max(0, rows["shown"].min() - 1))
    levels.set_ylabel(f"{on} accuracy (%)")
    differences.set_ylabel(f"points of {on} accuracy above magnitude")
    seeds = rows["seed"].nunique()
    counted = f"mean and deviation of {seeds} seeds" if seeds > 1 else "one seed"
    levels.set_title(f"solid: the prior; dashed: magnitude at its sizes and with its recovery\n{counted}", loc="left", fontsize=10)
    differences.set_title("the prior less magnitude, seed by seed", loc="left", fontsize=10)
    for axes in (levels, differences):
        _shares(axes, rows["left"], NAMES[against])
        _labels(axes, ends[axes])
    for axes, height, text in ((levels, dense, f"dense, {dense:.2f} %"), (differences, 0, "magnitude")):
        axes.annotate(text, (1, height), (-2, 3), xycoords=axes.get_yaxis_transform(), textcoords="offset points", ha="right", fontsize=9,
                      color="0.35")
    figure.suptitle(title or "default", x=0.01, ha="left", fontweight="bold")
    return figure


def _line(axes: Axes, left: pd.Series, values: pd.Series, color: str, dashed: bool = False) -> tuple[float, float]:
    """By target, whose order is that of the sizes; returns the end of the smallest.  Both by target and seed"""
    grouped = values.groupby("target")
    table = pd.DataFrame({"x": left.groupby("target").mean(), "mean": grouped.mean(), "deviation": grouped.std().fillna(0)})
    table = table.sort_values("x")
    axes.plot(table["x"], table["mean"], "--" if dashed else "o-", markersize=4.5, linewidth=1 if dashed else 1.8, color=color)
    if not dashed:
        axes.fill_between(table["x"], table["mean"] - table["deviation"], table["mean"] + table["deviation"], color=color, alpha=0.18,
                          linewidth=0)
    return float(table["x"].iloc[0]), float(table["mean"].iloc[0])


def _shares(axes: Axes, left: pd.Series, name: str) -> None:
    """A logarithmic axis that shrinks to the right, with room for labels there."""
    axes.set_xscale("log")
    largest, smallest = left.max() * 1.15, left.min() / 1.15
    axes.set_xlim(largest, smallest / (largest / smallest) ** 0.22)
    ticks = [tick * 10.0**power for power in range(-3, 3) for tick in (1, 2, 5) if smallest <= tick * 10.0**power <= min(100, largest)]
    axes.set_xticks(ticks, [f"{tick:g} %" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(f"{name} left")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _labels(axes: Axes, ends: Mapping[str, tuple[float, float]]) -> None:
    """Each name beside the end of its line, moved where two would touch."""
    transform = axes.transData + axes.transAxes.inverted()
    last = -np.inf
    for name, end in sorted(ends.items(), key=lambda item: item[1][1]):
        x, y = transform.transform(end)
        last = max(y, last + NEAREST)
        axes.annotate(name, end, (x + 0.015, last), textcoords="axes fraction", va="center", fontsize=9, color=COLORS[name.split(" ")[0]])
