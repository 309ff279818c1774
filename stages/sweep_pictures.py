"""The pictures of the sweep: accuracy against what is left, and against measured speed-up.

Both axes are stretched where it matters: halving what is left, or halving the errors, is the same distance everywhere."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sparsify.artifacts import FileError
from sparsify.settings import quoted
from stages import reports, style
from stages.params import Params
from stages.style import Label

PHASES = ("as pruned", "retrained")
LEFT = {"weights": ("nonzeros_left", "weights_total"), "units": ("hidden_left", "hidden_total")}
NAMES = {"weights": "non-zero weights left", "units": "hidden units left"}
ROOM = 1.4  # above the dense network's accuracy, times fewer errors

Metrics = dict[str, Any]  # what stages wrote as JSON


def sweep_curves(params: Params, metrics: Metrics, rows: pd.DataFrame, results: Path | None = None) -> Figure:
    """Weights above, units below. metrics: of the stages prune and sweep; rows: of the sweep; results: a table of
    other runs of the recipe, which are then points too"""
    report, groups = metrics["sweep"], _groups(params.recipe_name, results) if results else []
    figure = style.figure(7.4, f"{params.recipe_name}: magnitude pruning at every size, and what priors reach")
    for axes, method in zip(figure.subplots(2, 1), LEFT, strict=True):
        chosen, total = rows[rows["method"] == method], report["dense"]["weights" if method == "weights" else "hidden"]
        left = 100 * chosen.set_index("share")[LEFT[method][0]] / total
        points = [*_results(groups, method), _present(params, metrics, method)]
        style.left_axis(axes, pd.concat([left, pd.Series([point.x for point in points])]), NAMES[method])
        _heights(axes, report, pd.Series([point.y for point in points]))
        labels = [_plateau(axes, report, params)]
        for recovered, phase in enumerate(PHASES):
            labels.append(_curve(axes, left[(chosen["recovered"] == recovered).to_numpy()], chosen, recovered, f"magnitude, {phase}"))
        for name, group in groups:
            _point(axes, name, group, method)
        _star(axes, points[-1])
        style.label_ends(axes, [*labels, *points])
        ends = [_share(report[method][phase]["plateau_percent"]) for phase in ("pruned", "recovered")]
        together = method == "weights" and params.sweep.weight_scope == "global"
        what = f"Smallest weights of {'all layers' if together else 'each layer'}" if method == "weights" else "Units of smallest norm"
        steps = {"weights": params.sweep.weight_steps, "units": params.sweep.unit_steps}[method]
        axes.set_title(f"{what} removed: within {params.sweep.max_accuracy_drop:g} points of dense (grey)\n{ends[0]} as pruned, {ends[1]} "
                       f"after {steps:,} steps (band: deviation of {report['seeds']} seeds)")
    return figure


def sweep_speedup(params: Params, metrics: Metrics, rows: pd.DataFrame) -> Figure:
    """metrics: of the stages prune, benchmark and sweep; rows: of the sweep"""
    report = metrics["sweep"]
    units = rows[rows["method"] == "units"]
    figure = style.figure(4.4, f"{params.recipe_name}: accuracy against measured speed-up")
    axes = figure.subplots()
    batch, speedup = largest_batch(metrics["benchmark"])
    star = Label(f"{params.prior.kind}, this run,\ntimed in batches of {batch:,}", speedup, metrics["prune"]["accuracy_finetuned"],
                 style.PRIORS[params.prior.kind].color)
    highest = max(units["speedup"].max(), speedup)
    ticks = [tick for tick in (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300) if tick <= 1.5 * highest]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick}x" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set(xlabel=f"times as fast on the test set as the dense network ({timing_threads(report)} thread, median of "
                    f"{params.sweep.timing_repeats} passes in turn)", xlim=(0.85 * min(1, units["speedup"].min()), 1.15 * highest))
    _heights(axes, report, pd.Series([star.y]))
    labels = [_plateau(axes, report, params), star]
    for recovered, phase in enumerate(PHASES):
        name = f"units of smallest norm\nremoved, {phase}" + (f" ({params.sweep.unit_steps} steps)" if recovered else "")
        labels.append(_curve(axes, units.set_index("share")["speedup"], units, recovered, name))
    means = units[units["recovered"] == 1].groupby("share")[["speedup", "accuracy"]].mean()
    shares = [Label(f"{share:g} %", times, accuracy, style.MAGNITUDE.color) for share, times, accuracy in zip(
        means.index.tolist(), means["speedup"].tolist(), means["accuracy"].tolist(), strict=True) if accuracy > axes.get_ylim()[0]]
    _star(axes, star)
    axes.set_title(f"Beside the points: the share of units removed; bands: deviation of {report['seeds']} seeds")
    style.label_ends(axes, labels)
    style.label_points(axes, shares)
    return figure


def check_plateaus(path: Path, sweep: Metrics) -> None:
    """Raises FileError where the figures of the sweep, in `path`, lack where a plateau ends."""
    for method in LEFT:
        for phase in ("pruned", "recovered"):
            try:
                end = sweep[method][phase]["plateau_percent"]
            except (KeyError, TypeError):
                raise FileError(f"{path} does not say where the plateau of {method}, {phase}, ends") from None
            if end is not None:
                reports.number(path, sweep, f"{method}.{phase}.plateau_percent")


def check_speedups(path: Path, benchmark: Metrics) -> None:
    """Raises FileError where the figures of the benchmark, in `path`, have no speed-up by size of the batch."""
    speedups = benchmark.get("speedup")
    if not isinstance(speedups, dict) or not speedups or not all(re.fullmatch(r"batch_[0-9]{1,9}", key) for key in speedups):
        raise FileError(f"{path} has {quoted(speedups)} as speedup; it has to have one for each batch_SIZE")
    for key in speedups:
        reports.number(path, benchmark, f"speedup.{key}.median", above=0)


def timing_threads(report: Metrics) -> int:
    """report: of the sweep; one and the same as its other threads in those that were kept first"""
    return int(report["timing_threads"] if "timing_threads" in report else report["threads"])


def largest_batch(benchmark: Metrics) -> tuple[int, float]:
    """Its size, and how many times as fast the compact network takes it.  benchmark: as the stage of that name writes it"""
    return max((int(key.removeprefix("batch_")), ratio["median"]) for key, ratio in benchmark["speedup"].items())


def _heights(axes: Axes, report: Metrics, points: pd.Series) -> None:
    dense = report["dense"]["accuracy"]
    seen = pd.concat([points, pd.Series([0, dense, 100 - (100 - dense) / ROOM])])
    style.accuracy_axis(axes, seen, min(style.in_sight(seen), points.min() - 1))


def _curve(axes: Axes, x: pd.Series, rows: pd.DataFrame, recovered: int, name: str) -> Label:
    """Of the seeds with or without retraining.  x: by share, of `rows` or of those of them  -> its name at the last point in sight"""
    chosen = rows[rows["recovered"] == recovered].set_index("share")
    color = style.MAGNITUDE.color
    drawn = style.mean_band(axes, x.groupby("share").first(), chosen["accuracy"], "share", color, linestyle="-" if recovered else "--",
                            marker="o", markerfacecolor=color if recovered else "white")
    seen = drawn[drawn["mean"] >= axes.get_ylim()[0]]
    last = seen.iloc[0 if axes.xaxis_inverted() else -1] if len(seen) else drawn.iloc[0]
    return Label(name, float(last["x"]), max(float(last["mean"]), axes.get_ylim()[0]), color)


def _plateau(axes: Axes, report: Metrics, params: Params) -> Label:
    dense = report["dense"]["accuracy"]
    axes.axhspan(dense - params.sweep.max_accuracy_drop, dense, color=style.PALE, zorder=0)
    return style.across(axes, dense, f"dense, {dense:.2f} %")


def _present(params: Params, metrics: Metrics, method: str) -> Label:
    pruned = metrics["prune"]
    left = 100 - pruned["hidden_removed_percent"] if method == "units" else 100 / pruned["compression_nonzeros"]
    return Label(f"{params.prior.kind}, this run", left, pruned["accuracy_finetuned"], style.PRIORS[params.prior.kind].color)


def _star(axes: Axes, point: Label) -> None:
    """The present run's network: open and beneath the others, so that none is hidden."""
    axes.plot(point.x, point.y, marker="*", markersize=15, color=point.color, markerfacecolor="none", zorder=2.5)


def _point(axes: Axes, name: str, group: pd.DataFrame, method: str) -> None:
    left, accuracy, look = _left(group, method), group["accuracy"], style.METHODS[name.split(" ")[0]]
    several = len(group) > 1
    axes.errorbar(left.mean(), accuracy.mean(), xerr=left.std() if several else None, yerr=accuracy.std() if several else None,
                  fmt=look.marker, color=look.color, markersize=6, markeredgecolor="white", zorder=4)


def _left(group: pd.DataFrame, method: str) -> pd.Series:
    count, total = LEFT[method]
    return 100 * group[count] / group[total]


def _results(groups: Sequence[tuple[str, pd.DataFrame]], method: str) -> list[Label]:
    return [Label(f"{name}, n = {len(group)}", float(_left(group, method).mean()),
                  float(group["accuracy"].mean()), style.METHODS[name.split(" ")[0]].color) for name, group in groups]


def _groups(recipe: str, path: Path) -> list[tuple[str, pd.DataFrame]]:
    """The rows of this recipe in the table of results, by method and what it changes in the prior; those that change more are left out."""
    counts = " ".join(count for pair in LEFT.values() for count in pair)
    table = reports.table(path, "accuracy", "recipe method overrides", counts)
    of_priors = table["overrides"].map(lambda overrides: all(part.startswith("prior.") for part in overrides.split())).astype(bool)
    groups = table[of_priors & (table["recipe"] == recipe)].groupby(["method", "overrides"])
    return [(_named(str(method), str(overrides)), group) for (method, overrides), group in groups]


def _named(method: str, overrides: str) -> str:
    """Short, as `ard beta=3`; of a control, as `scratch like ard beta=3`."""
    changes = [part.removeprefix("prior.") for part in overrides.split() if part != f"prior.kind={method}"]
    control = method not in style.PRIORS and changes
    short = [change.removeprefix("kind=").removeprefix("target.").replace("kl_weight=", "KL by ") for change in changes]
    return " ".join([method, *(["like"] if control else []), *short])


def _share(percent: float | None) -> str:
    return "nowhere" if percent is None else f"up to {percent:g} %"
