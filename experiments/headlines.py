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


def picture(ours: Mapping[str, pd.DataFrame], published: Sequence[Mapping[str, Any]]) -> Figure:
    """ours: by recipe the rows of results.csv over its seeds. published: rows of published.yaml; those with points are drawn"""
    shown = [row for row in published if row["points"] and len(ours[row["recipe"]])]
    lines = -(-len(shown) // COLUMNS)
    figure = style.figure(2.2 * lines)
    for axes, row in zip(figure.subplots(lines, COLUMNS, squeeze=False).flat, shown, strict=False):
        _panel(axes, row, ours[row["recipe"]])
    for axes in figure.axes[len(shown):]:
        axes.remove()
    return figure


def _panel(axes: Axes, row: Mapping[str, Any], rows: pd.DataFrame) -> None:
    left, accuracy, method = rows[row["left"]], rows["accuracy"], str(rows["method"].iloc[0])
    points = [Label(name, x, y, style.GREY) for name, x, y in row["points"]]
    look = style.PRIORS[method]
    axes.errorbar(left.mean(), accuracy.mean(), xerr=left.std() if len(rows) > 1 else None, yerr=accuracy.std() if len(rows) > 1 else None,
                  fmt=look.marker, color=look.color, markersize=8, zorder=4)
    axes.plot([point.x for point in points], [point.y for point in points], "o", color=style.GREY, markersize=5)
    sizes = pd.Series([left.mean(), *(point.x for point in points)])
    axes.set_xscale("log")
    margin = 1.3 if sizes.max() > 2 * sizes.min() else 1.7  # so that more than one round number is in sight
    axes.set_xlim(sizes.max() * margin, sizes.min() / margin)
    style.log_ticks(axes.xaxis)
    axes.set_xlabel(NAMES[row["left"]])
    heights = pd.Series([accuracy.mean(), *(point.y for point in points)])
    room = max(0.15, 0.25 * (heights.max() - heights.min()))
    axes.set(ylim=(heights.min() - room, heights.max() + room), ylabel="test accuracy (%)",
             title=row["panel"].partition(":")[0] + (", pixels leave too" if "pixels" in row["recipe"] else ""))
    style.label_ends(axes, [*points, Label(f"ours ({method})", left.mean(), accuracy.mean(), look.color)])
