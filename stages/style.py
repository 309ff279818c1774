"""How all pictures of the project look: what has which colour and marker, labels at the ends of lines, axes, sizes.

Importing it sets matplotlib's defaults. Colours are those of Okabe and Ito, which colour-blind people tell apart;
where a colour would tell two lines apart, a marker or a label does too."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation, Text

from sparsify.artifacts import write_picture

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PINK = (  # Okabe and Ito
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
GREY, PALE = "#767676", "#E5E5E5"


class Look(NamedTuple):
    color: str
    marker: str


DENSE, BAYESIAN, COMPACT = Look(BLACK, "s"), Look(BLUE, "o"), Look(VERMILION, "v")
MAGNITUDE, SCRATCH = Look(SKY, "X"), Look(GREY, "P")
PRIORS = {"gaussian": Look(BLUE, "o"), "mixture": Look(VERMILION, "^"), "gate": Look(GREEN, "D"), "log_uniform": Look(PINK, "p"),
          "ard": Look(ORANGE, "h")}
METHODS = {**PRIORS, "dense": DENSE, "magnitude": MAGNITUDE, "scratch": SCRATCH}

WIDTH = 8.0  # inches: 880 pixels, which a README shows as they are
SMALL = 8.0  # points, of labels
APART = 1.3  # of a label's height, from the middle of one to that of the next
ACCURACIES = (10, 30, 50, 60, 70, 80, 85, 88, 90, 92, 93, 94, 95, 96, 97, 97.5, 98, 98.5, 99, 99.3, 99.5, 99.7, 99.9, 100)
ALMOST = 99.95  # drawn where 100 is
WORST = 5  # times the errors of the best: what is worse leaves the panel

rcParams.update({
    "figure.constrained_layout.use": True, "font.size": 9, "axes.titlesize": 9.5, "axes.titlelocation": "left", "axes.labelsize": 9,
    "xtick.labelsize": SMALL, "ytick.labelsize": SMALL, "legend.fontsize": SMALL, "legend.frameon": False, "axes.grid": True,
    "axes.axisbelow": True, "grid.alpha": 0.25, "axes.spines.top": False, "axes.spines.right": False, "lines.markersize": 4.5,
    "lines.linewidth": 1.6, "errorbar.capsize": 2, "figure.titlesize": 10.5, "figure.titleweight": "bold"})


class Label(NamedTuple):
    """A name beside what it names."""

    text: str
    x: float
    y: float
    color: str


def figure(height: float, title: str = "", width: float = WIDTH) -> Figure:
    """Inches."""
    made = Figure(figsize=(width, height))
    if title:
        made.suptitle(title, x=0.01, ha="left")
    return made


def save(path: Path, picture: Figure) -> None:
    """PNG, the same bytes for the same data."""
    write_picture(path, picture)


def ink(color: str) -> str | tuple[float, float, float]:
    """The colour for text on white: darker until it stands out enough to be read, 4.5 to 1 (WCAG 2.1, 1.4.3)."""
    shade = np.array(to_rgb(color))
    while 1.05 / (_luminance(shade) + 0.05) < 4.5:
        shade = shade * 0.95
    return tuple(shade.tolist())


def _luminance(rgb: np.ndarray) -> float:
    linear = np.where(rgb <= 0.03928, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def label_ends(axes: Axes, labels: Iterable[Label]) -> list[Annotation]:
    """Each name right of the panel at the height of its point, moved where two would touch, with a thin line from the point to the name.

    To be called when the panel has its data, scales and limits."""
    labels = sorted(labels, key=lambda label: axes.transData.transform((label.x, label.y))[1])
    if not labels:
        return []
    made = [axes.annotate(label.text, (label.x, label.y), (1.02, 0), textcoords="axes fraction", va="center", fontsize=SMALL,
                          color=ink(label.color), annotation_clip=False,
                          arrowprops={"arrowstyle": "-", "color": label.color, "linewidth": 0.6, "alpha": 0.7, "shrinkA": 1, "shrinkB": 2,
                                      "relpos": (0, 0.5)})
            for label in labels]
    _lay_out(axes)  # so that heights are known
    to_fraction = axes.transData + axes.transAxes.inverted()
    wanted = [to_fraction.transform((label.x, label.y))[1] for label in labels]
    height = axes.get_window_extent().height
    lines = [1 + label.text.count("\n") for label in labels]
    gap = APART * SMALL / 72 * axes.figure.dpi / height
    for annotation, place in zip(made, apart(wanted, [count * gap for count in lines]), strict=True):
        annotation.xyann = (1.02, place)
    return made


def _lay_out(axes: Axes) -> None:
    cast(Figure, axes.figure).draw_without_rendering()


def apart(wanted: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Places as near as can be (least squares) to those wanted, which are in order, so that boxes of these heights around them do not
    touch; within 0 to 1 where all fit there."""
    steps = np.concatenate([[0.0], np.cumsum([(one + other) / 2 for one, other in pairwise(heights)])])
    blocks: list[list[float]] = []  # of boxes that touch: their sum of (wanted - step), and how many; pooled while out of order
    for place, step in zip(wanted, steps, strict=True):
        blocks.append([place - step, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1] = [blocks[-1][0] + total, blocks[-1][1] + count]
    starts = np.repeat([total / count for total, count in blocks], [int(count) for _, count in blocks])
    if heights[0] / 2 + steps[-1] + heights[-1] / 2 <= 1:
        starts = np.clip(starts, heights[0] / 2, 1 - heights[-1] / 2 - steps[-1])
    return (starts + steps).tolist()


def across(axes: Axes, height: float, text: str, line: str = "-") -> Label:
    """A line over the whole panel that others are held against; its name is for `label_ends`."""
    axes.axhline(height, color=DENSE.color, linewidth=1, linestyle=line)
    return Label(text, axes.get_xlim()[1], height, DENSE.color)


def label_points(axes: Axes, labels: Iterable[Label]) -> list[Annotation]:
    """Each name beside its point, above right or below left of it; one for which neither place is free and inside is left out.

    To be called when the panel has its data, scales and limits."""
    _lay_out(axes)
    taken, made, panel = [Text.get_window_extent(text) for text in axes.texts], [], axes.get_window_extent()
    for label in labels:
        for shift, across, up in (((4, 4), "left", "bottom"), ((-4, -4), "right", "top")):
            text = axes.annotate(label.text, (label.x, label.y), shift, textcoords="offset points", ha=across, va=up, fontsize=SMALL,
                                 color=ink(label.color), path_effects=[withStroke(linewidth=2.5, foreground="white")])
            box = text.get_window_extent()
            inside = all(panel.contains(*corner) for corner in box.corners())
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                made.append(text)
                break
            text.remove()
    return made


def mean_band(axes: Axes, x: pd.Series, values: pd.Series, by: str, color: str, band: bool = True, **how: Any) -> pd.DataFrame:
    """The mean over the seeds, and one standard deviation to either side.  x, values: with the index level `by`, of a point each

    -> what was drawn: columns x, mean, deviation, in the order of x"""
    grouped = values.groupby(by)
    table = pd.DataFrame({"x": x.groupby(by).mean(), "mean": grouped.mean(), "deviation": grouped.std().fillna(0)}).sort_values("x")
    axes.plot(table["x"], table["mean"], color=color, **how)
    if band:
        axes.fill_between(table["x"], table["mean"] - table["deviation"], table["mean"] + table["deviation"], color=color, alpha=0.18,
                          linewidth=0)
    return table


def left_axis(axes: Axes, left: pd.Series, what: str) -> None:
    """Logarithmic, and shrinking to the right.  left: all that is to be seen, in percent"""
    shown = left[left > 0]
    axes.set_xscale("log")
    axes.set_xlim(shown.max() * 1.15, shown.min() / 1.15)
    log_ticks(axes.xaxis, " %", 100)
    axes.set_xlabel(what)


def log_ticks(axis: Axis, unit: str = "", most: float = np.inf) -> None:
    """Round numbers on a logarithmic axis whose limits are set, as many as have room."""
    low, high = sorted(axis.get_view_interval())
    panel, em = axis.axes.get_window_extent(), SMALL / 72 * axis.axes.figure.dpi
    sideways = isinstance(axis, XAxis)
    length = panel.width if sideways else panel.height  # before its layout: about right
    for steps in ((1, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        every = [step * 10.0**power for power in range(-6, 10) for step in steps]
        ticks = [tick for tick in every if low <= tick <= min(high, most)]
        names = [f"{tick / 1e6:g} M{unit}" if tick >= 1e6 else f"{tick:,.10g}{unit}" for tick in ticks]
        sizes = [(0.75 * len(name) + 0.5 if sideways else 2) * em for name in names]
        distances = [np.log(other / one) / np.log(high / low) * length for one, other in pairwise(ticks)]
        if all(distance > (one + other) / 2 for distance, (one, other) in zip(distances, pairwise(sizes), strict=True)):
            break
    axis.set_ticks(ticks, labels=names)
    axis.set_ticks([], minor=True)


def accuracy_axis(axes: Axes, accuracies: pd.Series, bottom: float = 0, name: str = "test accuracy (%)") -> None:
    """Stretched: halving the errors is the same distance everywhere, down to ALMOST.  accuracies: all that are to be seen, in percent"""
    def stretched(accuracy: float) -> float:
        return -np.log2(100 - np.clip(accuracy, -50, ALMOST))
    axes.set_yscale("function", functions=(stretched, lambda y: 100 - 2.0**-y))
    top = min(100, 100 - 0.85 * (100 - accuracies.max()))
    size = axes.get_window_extent().height / axes.figure.dpi  # of the panel, in inches, before its layout: about right
    near = 0.2 / size * (stretched(top) - stretched(bottom))  # two labels would touch
    ticks: list[float] = []
    for tick in (tick for tick in ACCURACIES if bottom <= tick <= top):
        if not ticks or stretched(tick) - stretched(ticks[-1]) > near:
            ticks.append(tick)
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([], minor=True)
    axes.set(ylim=(bottom, top), ylabel=name)


def in_sight(accuracies: pd.Series) -> float:
    """The lowest accuracy that is worth its place beside the best of these, in percent: WORST times its errors."""
    best = min(accuracies.max(), 99.5)
    return float(max(0, accuracies.min() - 1, 100 - WORST * (100 - best)))
