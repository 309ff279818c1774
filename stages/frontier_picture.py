"""The picture of a frontier: accuracy against what is left, and how far each prior is above magnitude pruning at its own sizes."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages import style
from stages.frontier_plan import MEASURES
from stages.style import Label

NAMES = {"units": "hidden units", "weights": "weights", "nonzeros": "non-zero weights", "macs": "multiply-accumulates"}
CURVE = ["prior", "by"]


def frontier(rows: pd.DataFrame, against: str, on: str, title: str) -> Figure:
    """Left the accuracies, priors solid and magnitude dashed in the colour of the prior whose sizes it has; right the difference, seed by
    seed. Lines are means, bands one standard deviation over the seeds.

    rows: of stages.frontier; against: units, weights, nonzeros or macs; on: validation or test"""
    key, count = "accuracy" if on == "test" else "validation_accuracy", MEASURES[against]
    rows = rows.assign(left=100 * rows[f"{count}_left"] / rows[f"{count}_total"], shown=rows[key], dense=rows[f"{key}_dense"])
    figure = style.figure(3.9, title or "default")
    levels, differences = figure.subplots(1, 2)
    labels: dict[Axes, list[Label]] = {levels: [], differences: []}
    several = rows.groupby("prior")["by"].nunique()
    for axes in (levels, differences):
        style.left_axis(axes, rows["left"], f"{NAMES[against]} left")
    style.accuracy_axis(levels, pd.concat([rows["shown"], rows["dense"]]), max(0, rows["shown"].min() - 1), f"{on} accuracy (%)")
    for (prior, by), curve in rows.groupby(CURVE, sort=False):
        name, look = f"{prior} by {by}" if several[str(prior)] > 1 else str(prior), style.PRIORS[str(prior)]
        ours, magnitude = (curve[(curve["method"] == "magnitude") == which].set_index(["target", "seed"]) for which in (False, True))
        style.mean_band(levels, magnitude["left"], magnitude["shown"], "target", look.color, band=False, linestyle="--", linewidth=1)
        for axes, values in ((levels, ours["shown"]), (differences, ours["shown"] - magnitude["shown"])):
            end = style.mean_band(axes, ours["left"], values, "target", look.color, marker=look.marker).iloc[0]
            labels[axes].append(Label(name, float(end["x"]), float(end["mean"]), look.color))
    labels[levels].append(style.across(levels, rows["dense"].mean(), f"dense, {rows['dense'].mean():.2f} %"))
    labels[differences].append(style.across(differences, 0, "magnitude", "--"))
    differences.set_ylabel(f"points of {on} accuracy")
    seeds = rows["seed"].nunique()
    levels.set_title("dashed: magnitude at the prior's sizes,\nwith its recovery")
    differences.set_title(f"the prior less magnitude, seed by seed:\n{f'mean and deviation of {seeds} seeds' if seeds > 1 else 'one seed'}")
    for axes in (levels, differences):
        style.label_ends(axes, labels[axes])
    return figure
