"""The pictures of the sweep: accuracy against what was removed, and against measured speed-up.

Both axes are stretched where it matters: halving what is left, or halving the errors, is the same distance everywhere."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages import runtime
from stages.params import Params

RESULTS = runtime.METRICS / "results.csv"  # of many recipes, priors and seeds; the pictures do without if it is not there
COLORS = {"pruned": "#D55E00", "recovered": "#0072B2"}  # colour-blind safe (Okabe and Ito), as are those of the points
POINT_COLORS, POINT_MARKERS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"), "Ds^vPXph"
REMOVED = {"weights": "nonzeros_left", "units": "hidden_left"}
ACCURACIES = (10, 30, 50, 60, 70, 80, 85, 88, 90, 92, 94, 95, 96, 97, 97.5, 98, 98.5, 99, 99.3, 99.5)

Metrics = dict[str, Any]  # what stages wrote as JSON


def sweep_curves(params: Params, metrics: Metrics) -> Figure:
    """Weights left, units right. metrics: of the stages prune and sweep"""
    report, rows = metrics["sweep"], pd.read_csv(runtime.PLOTS / "sweep.csv")
    figure = Figure(figsize=(12, 5.6), layout="constrained")
    for axes, method in zip(figure.subplots(1, 2, sharey=True), REMOVED, strict=True):
        chosen, total = rows[rows["method"] == method], report["dense"]["weights" if method == "weights" else "hidden"]
        steps = {"weights": params.sweep.weight_steps, "units": params.sweep.unit_steps}[method]
        _plateau(axes, report, params)
        for recovered, color in enumerate(COLORS.values()):
            points = chosen[chosen["recovered"] == recovered]
            removed = 100 * (1 - points.groupby("share")[REMOVED[method]].first() / total)
            label = f"magnitude, retrained (mean and deviation of {report['seeds']} seeds)" if recovered else "magnitude, as pruned"
            _band(axes, removed, points, color, label)
        _bayesian_points(axes, method, params, metrics)
        _stretch_removed(axes)
        ends = [report[method][phase]["plateau_percent"] for phase in COLORS]
        together = method == "weights" and params.sweep.weight_scope == "global"
        what = f"smallest weights of {'all layers' if together else 'each layer'}" if method == "weights" else "units of smallest norm"
        axes.set_xlabel(f"{'weights' if method == 'weights' else 'hidden units'} removed (%)")
        axes.set_title(f"{what} removed: plateau to {_share(ends[0])};\nafter {steps} steps of retraining to {_share(ends[1])}",
                       loc="left", fontsize=11)
    stretch_accuracy(figure.axes[0], rows["accuracy"])
    _finish(figure, params)
    return figure


def sweep_speedup(params: Params, metrics: Metrics) -> Figure:
    """metrics: of the stages prune, benchmark and sweep"""
    report, rows = metrics["sweep"], pd.read_csv(runtime.PLOTS / "sweep.csv")
    units = rows[rows["method"] == "units"]
    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots()
    _plateau(axes, report, params)
    for recovered, color in enumerate(COLORS.values()):
        points = units[units["recovered"] == recovered]
        retrained = f", retrained for {params.sweep.unit_steps} steps (mean and deviation of {report['seeds']} seeds)"
        label = f"units of smallest norm removed{retrained if recovered else ''}"
        speedups = points.groupby("share")["speedup"].first()
        _band(axes, speedups, points, color, label)
        if recovered:
            accuracies = points.groupby("share")["accuracy"].mean()
            for share, speedup, accuracy in zip(speedups.index, speedups, accuracies, strict=True):
                axes.annotate(f"{share:g} %", (speedup, accuracy), (-3, -12 if accuracy > 20 else 6), textcoords="offset points",
                              ha="right", fontsize=8, color=color)
    batch, speedup = largest_batch(metrics["benchmark"])
    _present(axes, speedup, params, metrics, f", timed apart in batches of {batch}")
    highest = max(units["speedup"].max(), speedup)
    ticks = [tick for tick in (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300) if tick <= 1.5 * highest]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick}x" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set(xlabel=f"speed-up of the test set over the dense network, measured ({metrics['sweep']['timing_threads']} thread, median of "
                    f"{params.sweep.timing_repeats} interleaved passes)", xlim=(0.8, 1.6 * highest))
    stretch_accuracy(axes, units["accuracy"])
    _finish(figure, params, legend_columns=1)
    return figure


def largest_batch(benchmark: Metrics) -> tuple[int, float]:
    """Its size, and how many times as fast the compact network takes it.  benchmark: as the stage of that name writes it"""
    return max((int(key.removeprefix("batch_")), ratio["median"]) for key, ratio in benchmark["speedup"].items())


def _band(axes: Axes, x: pd.Series, points: pd.DataFrame, color: str, label: str) -> None:
    """The mean over the seeds, and one standard deviation to either side.  x: by share"""
    grouped = points.groupby("share")["accuracy"]
    mean, deviation = grouped.mean(), grouped.std().fillna(0)
    axes.plot(x, mean, "o-" if points["recovered"].all() else "o--", markersize=4.5, color=color, label=label,
              markerfacecolor=color if points["recovered"].all() else "white")
    axes.fill_between(x, mean - deviation, mean + deviation, color=color, alpha=0.25, linewidth=0)


def _plateau(axes: Axes, report: Metrics, params: Params) -> None:
    dense = report["dense"]["accuracy"]
    axes.axhspan(dense - params.sweep.max_accuracy_drop, dense, color="0.9", zorder=0)
    axes.axhline(dense, color="0.35", linewidth=1, label=f"dense, {dense:.2f} %; grey: {params.sweep.max_accuracy_drop:g} points below")


def _bayesian_points(axes: Axes, method: str, params: Params, metrics: Metrics) -> None:
    pruned = metrics["prune"]
    removed = pruned["hidden_removed_percent"] if method == "units" else 100 - 100 / pruned["compression_nonzeros"]
    _present(axes, removed, params, metrics)
    for number, (name, group) in enumerate(_results(params.recipe_name)):
        total = group["weights_total" if method == "weights" else "hidden_total"]
        removed = 100 * (1 - group[REMOVED[method]] / total)
        axes.errorbar(removed.mean(), group["accuracy"].mean(), xerr=removed.std() if len(group) > 1 else None,
                      yerr=group["accuracy"].std() if len(group) > 1 else None, fmt=POINT_MARKERS[number % len(POINT_MARKERS)],
                      color=POINT_COLORS[number % len(POINT_COLORS)], markersize=7, markeredgecolor="white", capsize=2, zorder=4,
                      label=f"{name}, {len(group)} seed{'s' if len(group) > 1 else ''}")


def _present(axes: Axes, x: float, params: Params, metrics: Metrics, more: str = "") -> None:
    """The present run's network, as an open star, so that points under it show."""
    axes.plot(x, metrics["prune"]["accuracy_finetuned"], marker="*", linestyle="", markersize=15, color="black", markerfacecolor="none",
              zorder=5, label=f"Bayesian ({params.prior.kind}), fine-tuned: the present run{more}")


def _results(recipe: str, path: Path = RESULTS) -> list[tuple[str, pd.DataFrame]]:
    """The rows of this recipe in the table of results, by method and what it changes in the prior; those that change more are left out."""
    if not path.is_file():
        return []
    table = pd.read_csv(path, keep_default_na=False)
    of_priors = table["overrides"].map(lambda overrides: all(part.startswith("prior.") for part in overrides.split())).astype(bool)
    groups = table[of_priors & (table["recipe"] == recipe)].groupby(["method", "overrides"])
    return [(" ".join([str(method), *(part for part in str(overrides).split() if part != f"prior.kind={method}")]), group)
            for (method, overrides), group in groups]


def _stretch_removed(axes: Axes) -> None:
    axes.set_xscale("function", functions=(lambda x: -np.log2(1 - np.clip(x, -50, 99.99) / 100), lambda y: 100 * (1 - 2.0**-y)))
    ends = [end for line in axes.get_lines() for end in np.atleast_1d(line.get_xdata()) if end > 1]  # not those of the line across
    right = 100 - 0.8 * (100 - max(ends, default=50))
    ticks = [tick for tick in (0, 25, 50, 70, 80, 90, 95, 97, 98, 99, 99.5) if tick <= right]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xlim(-4, right)


def stretch_accuracy(axes: Axes, accuracies: pd.Series, bottom: float = 0) -> None:
    """Halving the errors is the same distance everywhere.  accuracies: all that are to be seen, in percent"""
    def stretched(accuracy: float) -> float:
        return -np.log2(100 - np.clip(accuracy, -50, 99.99))
    axes.set_yscale("function", functions=(stretched, lambda y: 100 - 2.0**-y))
    top = 100 - 0.85 * (100 - min(99.9, accuracies.max()))
    ticks: list[float] = []
    for tick in (tick for tick in ACCURACIES if bottom <= tick <= top):
        if not ticks or stretched(tick) - stretched(ticks[-1]) > 0.055 * (stretched(top) - stretched(bottom)):  # else their labels touch
            ticks.append(tick)
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set(ylim=(bottom, top), ylabel="test accuracy (%)")


def _share(percent: float | None) -> str:
    return "nowhere" if percent is None else f"{percent:g} %"


def _finish(figure: Figure, params: Params, legend_columns: int = 2) -> None:
    for axes in figure.axes:
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=legend_columns, frameon=False, fontsize=9)
    figure.suptitle(params.recipe_name, x=0.01, ha="left", fontweight="bold")

