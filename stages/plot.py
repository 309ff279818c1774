"""The pictures: accuracy against what is left, training curves, the units kept in each layer, latency by engine, accuracy by rejection,
and those of sweep_pictures.py."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from sparsify.artifacts import FileError, picture, write_bytes
from stages import reports, runtime, style
from stages.params import CONTROLS, Params
from stages.style import Label, Look
from stages.sweep_pictures import Metrics, check_plateaus, check_speedups, sweep_curves, sweep_speedup

# What the pictures take of the metrics, by stage; of the others `above` 0.
FIGURES = {"baseline": ["accuracy"], "bayesian": ["accuracy"], "controls": [], "benchmark": [],
           "prune": ["threshold", "accuracy_compact", "accuracy_finetuned", "hidden_removed_percent", "hidden_left", "hidden_total"],
           "sweep": ["dense.accuracy", "seeds", "timing_threads"]}
SIZES = {"prune": ["compression_nonzeros"], "sweep": ["dense.weights", "dense.hidden"]}
PHASES = {"baseline": ("dense", style.DENSE), "bayesian": ("Bayesian", style.BAYESIAN), "finetune": ("fine-tuning", style.COMPACT)}
TERMS = {"nll": (style.BLUE, "-"), "kl": (style.VERMILION, "--"), "distillation": (style.GREEN, "-.")}
REJECTION = {"dense": ("dense", style.DENSE, "-"), "bayesian_mean": ("Bayesian, mean weights\n(dashed)", style.BAYESIAN, "--"),
             "bayesian_samples": ("Bayesian, sampled", style.BAYESIAN, "-"), "compact": ("compact, fine-tuned", style.COMPACT, "-")}
NETWORKS = {"dense": style.DENSE, "compact": style.COMPACT}
# The tables: columns of numbers, of text, and of numbers that may be missing.
TABLES = {**{f"{phase}_curve": ("epoch validation_accuracy seconds", "", "") for phase in PHASES},
          "threshold_scan": ("threshold hidden_removed_percent weights_removed_percent validation_accuracy", "", ""),
          "units": ("total kept", "layer", ""), "latency": ("batch threads median q25 q75", "engine network", ""),
          "rejection": (f"rejected_percent {' '.join(REJECTION)}", "", ""),
          "sweep": ("share recovered accuracy hidden_left nonzeros_left", "method", "speedup")}
Tables = dict[str, DataFrame]


def plot(params: Params) -> None:
    metrics, tables = read()
    title = f"{params.recipe_name}, prior {params.prior.kind}"
    pictures: dict[str, Callable[[], Figure]] = {
        "accuracy_against_sparsity": lambda: accuracy_against_sparsity(metrics, tables["threshold_scan"], title),
        "training_curves": lambda: training_curves({phase: tables[f"{phase}_curve"] for phase in PHASES}, title),
        "units_kept": lambda: units_kept(tables["units"], title),
        "latency": lambda: latency(tables["latency"], title), "rejection": lambda: rejection(tables["rejection"], title),
        "sweep": lambda: sweep_curves(params, metrics, tables["sweep"]),
        "sweep_speedup": lambda: sweep_speedup(params, metrics, tables["sweep"])}
    for name, content in [(name, _drawn(name, draw)) for name, draw in pictures.items()]:  # all, before the first is written
        write_bytes(runtime.PLOTS / f"{name}.png", content)


def _drawn(name: str, draw: Callable[[], Figure]) -> bytes:
    try:
        return picture(draw())
    except FileError:
        raise
    except (ArithmeticError, ValueError, np.linalg.LinAlgError) as error:  # numbers that no axis can hold
        raise FileError(f"{runtime.PLOTS / name}.png cannot be drawn of what is in {runtime.METRICS} and {runtime.PLOTS} "
                        f"({' '.join(str(error).split())[:100]})") from None


def read() -> tuple[Metrics, Tables]:
    """All that the pictures are drawn of. Raises FileError."""
    metrics = {}
    for name, keys in FIGURES.items():
        path = runtime.METRICS / f"{name}.json"
        metrics[name] = reports.figures(path, name)
        for key in keys:
            reports.number(path, metrics[name], key)
        for key in SIZES.get(name, ()):
            reports.number(path, metrics[name], key, above=0)
    for method in (method for method in CONTROLS if method in metrics["controls"]):
        reports.number(runtime.METRICS / "controls.json", metrics["controls"], f"{method}.accuracy")
    check_speedups(runtime.METRICS / "benchmark.json", metrics["benchmark"])
    check_plateaus(runtime.METRICS / "sweep.json", metrics["sweep"])
    tables = {name: reports.table(runtime.PLOTS / f"{name}.csv", *columns) for name, columns in TABLES.items()}
    if odd := set(tables["latency"]["network"]) - {"dense", "compact"}:
        raise FileError(f"{runtime.PLOTS / 'latency.csv'} has the network {min(odd)}; it has to be dense or compact")
    return metrics, tables


def accuracy_against_sparsity(metrics: Metrics, scan: DataFrame, title: str) -> Figure:
    """Left how the size was chosen, on validation; right what each network is worth, on the test set.

    metrics: of the stages baseline, bayesian, prune and controls"""
    figure, pruned = style.figure(3.7, title), metrics["prune"]
    choice, results = figure.subplots(1, 2, width_ratios=(1.5, 1))
    figure.set_layout_engine("constrained", wspace=0.06)
    _named_results(results, metrics)
    accuracy = scan["validation_accuracy"]
    bottom, at_cut = style.in_sight(accuracy), accuracy.iloc[int((scan["threshold"] - pruned["threshold"]).abs().argmin())]
    seen = (accuracy >= bottom) & (scan["weights_removed_percent"] < 100)
    kept = {"hidden units": (100 - scan["hidden_removed_percent"], 100 - pruned["hidden_removed_percent"], style.BLUE, "-"),
            "weights": (100 - scan["weights_removed_percent"], 100 / pruned["compression_nonzeros"], style.VERMILION, "--")}
    style.left_axis(choice, pd.concat([left[seen] for left, *_ in kept.values()]), "left of the Bayesian network, before fine-tuning")
    style.accuracy_axis(choice, accuracy, bottom, "validation accuracy (%)")
    labels = []
    for name, (left, end, color, line) in kept.items():
        choice.plot(left, accuracy, line, color=color)
        choice.plot(end, at_cut, style.COMPACT.marker, markersize=9, color=color, zorder=4)
        labels.append(Label(name, float(left[seen].iloc[-1]), float(accuracy[seen].iloc[-1]), color))
    choice.set_title("How far the cut goes (triangles), chosen on validation\n")
    style.label_ends(choice, labels)
    return figure


def _named_results(axes: Axes, metrics: Metrics) -> None:
    pruned = metrics["prune"]
    rows: list[tuple[str, float, Look]] = [
        ("dense", metrics["baseline"]["accuracy"], style.DENSE), ("Bayesian", metrics["bayesian"]["accuracy"], style.BAYESIAN),
        ("compact, as cut", pruned["accuracy_compact"], style.COMPACT._replace(marker="1")),
        ("compact, fine-tuned", pruned["accuracy_finetuned"], style.COMPACT),
        *((f"{method}, same size", metrics["controls"][method]["accuracy"], look)
          for method, look in (("magnitude", style.MAGNITUDE), ("scratch", style.SCRATCH)) if method in metrics["controls"])]
    axes.hlines(range(len(rows)), min(value for _, value, _ in rows), [value for _, value, _ in rows], color=style.PALE, linewidth=3)
    for place, (_, value, look) in enumerate(rows):
        axes.plot(value, place, look.marker, color=look.color, markersize=9, markeredgewidth=2 if look.marker == "1" else 0.5)
        axes.annotate(f"{value:.2f}", (value, place), (8, 0), textcoords="offset points", va="center", fontsize=style.SMALL,
                      color=style.ink(look.color))
    low, high = min(value for _, value, _ in rows), max(value for _, value, _ in rows)
    room = max(high - low, 0.1)
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    axes.set(xlim=(low - 0.15 * room, high + 0.3 * room), ylim=(len(rows) - 0.4, -0.6), xlabel="test accuracy (%)")
    axes.set_title(f"What came out: {pruned['hidden_left']:,} of {pruned['hidden_total']:,} hidden units,\n1 of "
                   f"{pruned['compression_nonzeros']:.3g} weights", loc="right")
    axes.grid(visible=False, axis="y")


def training_curves(curves: dict[str, DataFrame], title: str) -> Figure:
    """Accuracy above, the terms of the loss below, and where a target moves beta, that and the size that it expects.  curves: by phase"""
    targets = [column for column in ("beta", "expected_size_percent") if column in curves["bayesian"]]
    mosaic: list[Any] = [[name for phase in PHASES for name in [f"{what} {phase}"] * 2] for what in ("accuracy", "terms")]
    if targets:
        mosaic.append([name for name in targets for _ in range(6 // len(targets))])
    figure = style.figure(2.1 * len(mosaic), title)
    panels = figure.subplot_mosaic(mosaic)
    everything = pd.concat([curve["validation_accuracy"] for curve in curves.values()])
    for phase, (name, look) in PHASES.items():
        curve, accuracy, terms = curves[phase], panels[f"accuracy {phase}"], panels[f"terms {phase}"]
        marker = "." if len(curve) == 1 else ""  # a line of one point is not seen
        accuracy.plot(curve["epoch"], curve["validation_accuracy"], color=look.color, marker=marker)
        style.accuracy_axis(accuracy, everything, style.in_sight(everything), "")
        accuracy.set_title(name)
        labels = []
        for term in (column for column in curve if column in TERMS):
            color, line = TERMS[term]
            terms.plot(curve["epoch"], curve[term], line, color=color, marker=marker)
            if curve[term].iloc[-1] > 0:  # a KL of nothing yet has no place on a logarithmic axis
                labels.append(Label(term, curve["epoch"].iloc[-1], curve[term].iloc[-1], color))
        terms.set(xlabel="epoch", yscale="log")
        style.label_ends(terms, labels)
    panels["accuracy baseline"].set_ylabel("validation accuracy (%)")
    panels["terms baseline"].set_ylabel("loss (nats an example)")
    for column, text in zip(targets, ("beta, which the target moves", "expected size, % of the whole"), strict=False):
        panels[column].plot(curves["bayesian"]["epoch"], curves["bayesian"][column], color=style.BAYESIAN.color)
        panels[column].set(title=text, xlabel="epoch of the Bayesian training", yscale="log")
    return figure


def units_kept(units: DataFrame, title: str) -> Figure:
    """units: layer, total, kept"""
    figure = style.figure(1.1 + 0.27 * len(units), title)
    axes, share = figure.subplots(), 100 * units["kept"] / units["total"]
    axes.barh(units["layer"], 100, color=style.PALE)
    axes.barh(units["layer"], share, color=style.COMPACT.color)
    for row, (kept, total) in enumerate(zip(units["kept"], units["total"], strict=True)):
        axes.text(1.01, row, f"{kept:,} of {total:,}", va="center", fontsize=style.SMALL, transform=axes.get_yaxis_transform())
    axes.invert_yaxis()
    axes.set(xlabel="units kept (%)", xlim=(0, 100), ylim=(len(units) - 0.4, -0.6))
    axes.grid(visible=False, axis="y")
    return figure


def latency(rows: DataFrame, title: str) -> Figure:
    """Median and quartiles of dense and compact by engine and number of threads, of the smallest and the largest batch."""
    sizes = sorted({rows["batch"].min(), rows["batch"].max()})
    settings = [(str(row.engine), int(str(row.threads))) for row in rows[["engine", "threads"]].drop_duplicates().itertuples()]
    figure = style.figure(1.8 + 0.28 * len(settings), title)
    for axes, batch in zip(figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0], sizes, strict=True):
        shown = rows[rows["batch"] == batch].set_index(["engine", "threads"])
        axes.set(xscale="log", xlabel="milliseconds a batch (median, quartiles)", title=f"batch of {batch:,}")
        for network, look in NETWORKS.items():
            of_network = shown[shown["network"] == network]
            places = [settings.index(setting) for setting in of_network.index]
            spread = [of_network["median"] - of_network["q25"], of_network["q75"] - of_network["median"]]
            axes.errorbar(of_network["median"], places, xerr=spread, fmt=look.marker, color=look.color, markersize=6, label=network)
        times = {network: shown.loc[shown["network"] == network, "median"] for network in NETWORKS}
        for place, setting in enumerate(settings):
            if all(setting in of_network.index for of_network in times.values()):
                dense, compact = (float(times[network][setting]) for network in NETWORKS)
                axes.plot([compact, dense], [place, place], color=style.PALE, linewidth=3, zorder=1)
                axes.annotate(f"{dense / compact:.2g}x", (1.01, place), xycoords=axes.get_yaxis_transform(), va="center",
                              fontsize=style.SMALL, annotation_clip=False)
        style.log_ticks(axes.xaxis)
    figure.axes[0].set_yticks(range(len(settings)), [f"{engine}, {threads} thread{'s' if threads > 1 else ''}"
                                                     for engine, threads in settings])
    figure.axes[0].set_ylim(len(settings) - 0.4, -0.6)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, [*names[:-1], f"{names[-1]}, and how many times as fast"], loc="outside lower center", ncols=2)
    return figure


def rejection(curves: DataFrame, title: str) -> Figure:
    """Test accuracy on what is left when the least confident images are turned away."""
    figure = style.figure(3.6, title)
    axes, perfect = figure.subplots(), (curves[list(REJECTION)] == 100).all(axis=1)
    curves = curves.loc[:perfect.idxmax() if perfect.any() else None]
    everything = pd.concat([curves[column] for column in REJECTION])
    style.accuracy_axis(axes, everything, max(0, everything.min() - 1), "test accuracy on the rest (%)")
    for column, (_, look, line) in REJECTION.items():
        axes.plot(curves["rejected_percent"], curves[column], line, marker=look.marker, color=look.color, clip_on=False)
    axes.set(xlabel="images turned away, the least confident first (%)")
    last = curves.iloc[-1]
    style.label_ends(axes, [Label(name, last["rejected_percent"], last[column], look.color)
                            for column, (name, look, _) in REJECTION.items()])
    return figure


if __name__ == "__main__":
    runtime.main(plot)
