"""The pictures: accuracy against sparsity, training curves, the neurons kept in each layer, latency by engine, accuracy by rejection,
and those of sweep_pictures.py."""

import json

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sparsify.artifacts import FileError, write_picture
from stages import runtime
from stages.params import Params
from stages.sweep_pictures import Metrics, sweep_curves, sweep_speedup

METRICS = ("baseline", "bayesian", "prune", "benchmark", "sweep")
TABLES = ("threshold_scan", "units", "latency", "rejection", "sweep")
PHASES = {"baseline": "dense", "bayesian": "Bayesian", "finetune": "fine-tuning"}
CURVES = {"dense": ("dense", "s-", "black"), "bayesian_mean": ("Bayesian, posterior mean", "o--", "tab:blue"),
          "bayesian_samples": ("Bayesian, sampled", "o-", "tab:blue"), "compact": ("compact, fine-tuned", "*-", "tab:red")}


def plot(params: Params) -> None:
    for path in (*(runtime.METRICS / f"{name}.json" for name in METRICS),
                 *(runtime.PLOTS / f"{name}.csv" for name in (*(f"{phase}_curve" for phase in PHASES), *TABLES))):
        if not path.is_file():
            raise FileError(f"{path} does not exist")
    metrics = {name: json.loads((runtime.METRICS / f"{name}.json").read_text())[name] for name in METRICS}
    title = f"{params.recipe_name}, prior {params.prior.kind}"
    _save(_accuracy_against_sparsity(metrics, title), "accuracy_against_sparsity")
    _save(_training_curves(title), "training_curves")
    _save(_units_kept(title), "units_kept")
    _save(_latency(title), "latency")
    _save(_rejection(title), "rejection")
    _save(sweep_curves(params, metrics), "sweep")
    _save(sweep_speedup(params, metrics), "sweep_speedup")


def _accuracy_against_sparsity(metrics: Metrics, title: str) -> Figure:
    """Validation accuracy as the threshold falls, and the test accuracy of the networks that were kept."""
    scan = pd.read_csv(runtime.PLOTS / "threshold_scan.csv")
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


def _training_curves(title: str) -> Figure:
    figure = Figure(figsize=(10, 3.5), layout="constrained")
    for axes, (name, label) in zip(figure.subplots(1, len(PHASES)), PHASES.items(), strict=True):
        _curve(axes, pd.read_csv(runtime.PLOTS / f"{name}_curve.csv"), label)
    figure.suptitle(title)
    return figure


def _curve(axes: Axes, curve: pd.DataFrame, label: str) -> None:
    axes.set(title=label, xlabel="epoch", yscale="log")
    terms = [column for column in curve if column not in ("epoch", "validation_accuracy", "seconds")]
    for term in terms:
        axes.plot(curve["epoch"], curve[term], label=term)
    axes.grid(alpha=0.3)
    right = axes.twinx()
    right.plot(curve["epoch"], curve["validation_accuracy"], "k--", label="validation accuracy (%)")
    axes.legend(handles=[*axes.get_lines(), *right.get_lines()], fontsize=7)


def _units_kept(title: str) -> Figure:
    units = pd.read_csv(runtime.PLOTS / "units.csv")
    figure = Figure(figsize=(8, 0.8 + 0.45 * len(units)), layout="constrained")
    axes, share = figure.subplots(), 100 * units["kept"] / units["total"]
    axes.barh(units["layer"], 100, color="0.9")
    axes.barh(units["layer"], share, color="tab:blue")
    for row, (kept, total) in enumerate(zip(units["kept"], units["total"], strict=True)):
        axes.text(101, row, f"{kept} of {total}", va="center")
    axes.invert_yaxis()
    axes.set(xlabel="kept (%)", xlim=(0, 125), title=title)
    return figure


def _latency(title: str) -> Figure:
    """Median and quartiles by engine, of the smallest and the largest batch."""
    rows = pd.read_csv(runtime.PLOTS / "latency.csv")
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


def _rejection(title: str) -> Figure:
    """Test accuracy on what is left when the least confident images are turned away."""
    curves = pd.read_csv(runtime.PLOTS / "rejection.csv")
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for column, (label, style, color) in CURVES.items():
        axes.plot(curves["rejected_percent"], curves[column], style, color=color, label=label)
    axes.set(xlabel="images rejected, the least confident first (%)", ylabel="test accuracy on the rest (%)", title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def _save(figure: Figure, name: str) -> None:
    write_picture(runtime.PLOTS / f"{name}.png", figure)


if __name__ == "__main__":
    runtime.main(plot)
