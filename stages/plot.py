"""The pictures: accuracy against sparsity, training curves, the neurons kept in each layer, latency by engine, accuracy by rejection,
and those of sweep_pictures.py."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from sparsify.artifacts import FileError, picture, write_bytes
from stages import reports, runtime
from stages.params import Params
from stages.sweep_pictures import Metrics, check_plateaus, check_speedups, sweep_curves, sweep_speedup

# What the pictures take of the metrics, by stage; of the others `above` 0.
FIGURES = {"baseline": ["accuracy"], "bayesian": ["accuracy"], "benchmark": [],
           "prune": ["accuracy_compact", "accuracy_finetuned", "hidden_removed_percent"],
           "sweep": ["dense.accuracy", "seeds", "timing_threads"]}
SIZES = {"prune": ["compression_nonzeros"], "sweep": ["dense.weights", "dense.hidden"]}
PHASES = {"baseline": "dense", "bayesian": "Bayesian", "finetune": "fine-tuning"}
CURVES = {"dense": ("dense", "s-", "black"), "bayesian_mean": ("Bayesian, posterior mean", "o--", "tab:blue"),
          "bayesian_samples": ("Bayesian, sampled", "o-", "tab:blue"), "compact": ("compact, fine-tuned", "*-", "tab:red")}
# The tables: columns of numbers, of text, and of numbers that may be missing.
TABLES = {**{f"{phase}_curve": ("epoch validation_accuracy seconds", "", "") for phase in PHASES},
          "threshold_scan": ("hidden_removed_percent weights_removed_percent validation_accuracy", "", ""),
          "units": ("total kept", "layer", ""), "latency": ("batch threads median q25 q75", "engine network", ""),
          "rejection": (f"rejected_percent {' '.join(CURVES)}", "", ""),
          "sweep": ("share recovered accuracy hidden_left nonzeros_left", "method", "speedup")}
Tables = dict[str, DataFrame]


def plot(params: Params) -> None:
    metrics, tables = read()
    title = f"{params.recipe_name}, prior {params.prior.kind}"
    pictures: dict[str, Callable[[], Figure]] = {
        "accuracy_against_sparsity": lambda: _accuracy_against_sparsity(metrics, tables["threshold_scan"], title),
        "training_curves": lambda: _training_curves(tables, title), "units_kept": lambda: _units_kept(tables["units"], title),
        "latency": lambda: _latency(tables["latency"], title), "rejection": lambda: _rejection(tables["rejection"], title),
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
    check_speedups(runtime.METRICS / "benchmark.json", metrics["benchmark"])
    check_plateaus(runtime.METRICS / "sweep.json", metrics["sweep"])
    tables = {name: reports.table(runtime.PLOTS / f"{name}.csv", *columns) for name, columns in TABLES.items()}
    if odd := set(tables["latency"]["network"]) - {"dense", "compact"}:
        raise FileError(f"{runtime.PLOTS / 'latency.csv'} has the network {min(odd)}; it has to be dense or compact")
    return metrics, tables


def _accuracy_against_sparsity(metrics: Metrics, scan: DataFrame, title: str) -> Figure:
    """Validation accuracy as the threshold falls, and the test accuracy of the networks that were kept."""
    pruned, figure = metrics["prune"], Figure(figsize=(10, 4), layout="constrained")
    ends = {"hidden_removed_percent": (pruned["hidden_removed_percent"], "hidden neurons removed (%)"),
            "weights_removed_percent": (100 - 100 / pruned["compression_nonzeros"], "weights removed (%)")}
    for axes, (column, (end, label)) in zip(figure.subplots(1, 2, sharey=True), ends.items(), strict=True):
        axes.plot(scan[column], scan["validation_accuracy"], ".-", color="tab:gray", label="Bayesian, validation, by threshold")
        axes.plot(0, metrics["baseline"]["accuracy"], "s", color="black", label="dense, test")
        axes.plot(0, metrics["bayesian"]["accuracy"], "o", color="tab:blue", label="Bayesian, test")
        axes.plot(end, pruned["accuracy_compact"], "v", color="tab:orange", label="compact, test")
        axes.plot(end, pruned["accuracy_finetuned"], "*", markersize=14, color="tab:red", label="compact, fine-tuned, test")
        axes.set(xlabel=label, xlim=(-3, 103))
        axes.grid(alpha=0.3)
    floor = min(pruned["accuracy_compact"], pruned["accuracy_finetuned"], metrics["bayesian"]["accuracy"]) - 5
    figure.axes[0].set(ylabel="accuracy (%)", ylim=(max(0, floor), 100))
    figure.axes[0].legend(loc="lower left", fontsize=8)
    figure.suptitle(title)
    return figure


def _training_curves(tables: Tables, title: str) -> Figure:
    figure = Figure(figsize=(10, 3.5), layout="constrained")
    for axes, (name, label) in zip(figure.subplots(1, len(PHASES)), PHASES.items(), strict=True):
        _curve(axes, tables[f"{name}_curve"], label)
    figure.suptitle(title)
    return figure


def _curve(axes: Axes, curve: DataFrame, label: str) -> None:
    axes.set(title=label, xlabel="epoch", yscale="log")
    terms = [column for column in curve if column not in ("epoch", "validation_accuracy", "seconds")]
    for term in terms:
        axes.plot(curve["epoch"], curve[term], label=term)
    axes.grid(alpha=0.3)
    right = axes.twinx()
    right.plot(curve["epoch"], curve["validation_accuracy"], "k--", label="validation accuracy (%)")
    axes.legend(handles=[*axes.get_lines(), *right.get_lines()], fontsize=7)


def _units_kept(units: DataFrame, title: str) -> Figure:
    figure = Figure(figsize=(8, 0.8 + 0.45 * len(units)), layout="constrained")
    axes, share = figure.subplots(), 100 * units["kept"] / units["total"]
    axes.barh(units["layer"], 100, color="0.9")
    axes.barh(units["layer"], share, color="tab:blue")
    for row, (kept, total) in enumerate(zip(units["kept"], units["total"], strict=True)):
        axes.text(101, row, f"{kept} of {total}", va="center")
    axes.invert_yaxis()
    axes.set(xlabel="kept (%)", xlim=(0, 125), title=title)
    return figure


def _latency(rows: DataFrame, title: str) -> Figure:
    """Median and quartiles by engine, of the smallest and the largest batch."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    sizes = sorted({rows["batch"].min(), rows["batch"].max()})
    bars = [(str(row.network), int(str(row.threads))) for row in rows[["network", "threads"]].drop_duplicates().itertuples()]
    for axes, batch_size in zip(figure.subplots(1, len(sizes), squeeze=False)[0], sizes, strict=True):
        shown = rows[rows["batch"] == batch_size]
        names = list(shown["engine"].unique())
        for number, (network, threads) in enumerate(bars):
            chosen = shown[(shown["network"] == network) & (shown["threads"] == threads)]
            places = [names.index(engine) + (number - (len(bars) - 1) / 2) * 0.8 / len(bars) for engine in chosen["engine"]]
            spread = [chosen["median"] - chosen["q25"], chosen["q75"] - chosen["median"]]
            axes.bar(places, chosen["median"], 0.8 / len(bars), yerr=spread, color={"dense": "black", "compact": "tab:red"}[network],
                     alpha=1 if threads == rows["threads"].iloc[0] else 0.4, ecolor="0.5", label=f"{network}, threads: {threads}")
        axes.set(title=f"batch of {batch_size}", yscale="log", ylabel="milliseconds")
        axes.set_xticks(range(len(names)), names)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.grid(alpha=0.3, axis="y")
    figure.axes[0].legend(fontsize=8)
    figure.suptitle(title)
    return figure


def _rejection(curves: DataFrame, title: str) -> Figure:
    """Test accuracy on what is left when the least confident images are turned away."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for column, (label, style, color) in CURVES.items():
        axes.plot(curves["rejected_percent"], curves[column], style, color=color, label=label)
    axes.set(xlabel="images rejected, the least confident first (%)", ylabel="test accuracy on the rest (%)", title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


if __name__ == "__main__":
    runtime.main(plot)
