"""The picture that opens docs/results.md: accuracy against what is left, ours beside the published figures, a panel a network."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages import style
from stages.style import Label

COLUMNS = 2
NAMES = {"hidden_left": "hidden units left", "weights_left": "weights left", "nonzeros_left": "non-zero weights left",
         "macs_left": "multiply-accumulates left"}


def recipes(row: Mapping[str, Any]) -> list[str]:
    """Those of ours that a row of published.yaml is of."""
    return [row[key] for key in ("recipe", "taught") if key in row]


def picture(ours: Mapping[str, pd.DataFrame], published: Sequence[Mapping[str, Any]]) -> Figure:
    """ours: by recipe the rows of results.csv over its seeds. published: rows of published.yaml; those with points are drawn"""
    shown = [row for row in published if row["points"] and any(len(ours[recipe]) for recipe in recipes(row))]
    lines = -(-len(shown) // COLUMNS)
    figure = style.figure(2.2 * lines)
    for axes, row in zip(figure.subplots(lines, COLUMNS, squeeze=False).flat, shown, strict=False):
        _panel(axes, row, ours)
    for axes in figure.axes[len(shown):]:
        axes.remove()
    return figure


def _panel(axes: Axes, row: Mapping[str, Any], ours: Mapping[str, pd.DataFrame]) -> None:
    published = [Label(name, x, y, style.GREY) for name, x, y in row["points"]]
    points = [*published, *(_drawn(axes, row, ours[recipe], recipe) for recipe in recipes(row) if len(ours[recipe]))]
    axes.plot([point.x for point in published], [point.y for point in published], "o", color=style.GREY, markersize=5)
    sizes = pd.Series([point.x for point in points])
    axes.set_xscale("log")
    margin = 1.3 if sizes.max() > 2 * sizes.min() else 1.7  # so that more than one round number is in sight
    axes.set_xlim(sizes.max() * margin, sizes.min() / margin)
    style.log_ticks(axes.xaxis)
    axes.set_xlabel(NAMES[row["left"]])
    bars = [ours[recipe]["accuracy"] for recipe in recipes(row) if len(ours[recipe]) > 1]
    heights = pd.Series([*(point.y for point in points), *(seeds.mean() + sign * seeds.std() for seeds in bars for sign in (-1, 1))])
    room = max(0.15, 0.25 * (heights.max() - heights.min()))
    axes.set(ylim=(heights.min() - room, heights.max() + room), ylabel="test accuracy (%)",
             title=row["panel"].partition(":")[0] + (", pixels leave too" if "pixels" in row["recipe"] else ""))
    style.label_ends(axes, points)


def _drawn(axes: Axes, row: Mapping[str, Any], rows: pd.DataFrame, recipe: str) -> Label:
    """The point of one of our recipes, hollow where a better network taught it."""
    left, accuracy, method = rows[row["left"]], rows["accuracy"], str(rows["method"].iloc[0])
    look, taught = style.PRIORS[method], recipe == row.get("taught")
    axes.errorbar(left.mean(), accuracy.mean(), xerr=left.std() if len(rows) > 1 else None, yerr=accuracy.std() if len(rows) > 1 else None,
                  fmt=look.marker, color=look.color, markerfacecolor="white" if taught else look.color, markersize=8, zorder=4)
    return Label("ours, taught" if taught else f"ours ({method})", left.mean(), accuracy.mean(), look.color)
