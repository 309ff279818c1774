"""The last line of a stage: what came out, and where it lies."""

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from stages import reports

Figures = Mapping[str, Any]


def line(stage: str, metrics: Path, outs: Iterable[Path]) -> str:
    """Of a stage that has just written `outs`. metrics: the folder of the figures"""
    name = stage.removeprefix("train_")
    said = SAID[name](reports.figures(metrics / f"{name}.json", name)) if name in SAID else NAMES.get(stage, stage)
    return f"{said}: {_places([path for path in outs if path.exists()])}"


def _places(paths: list[Path]) -> str:
    """Folder by folder; of many files in one their number."""
    folders = [(folder, list(found)) for folder, found in groupby(paths, lambda path: path.parent)]
    return ", ".join(f"{len(found)} files in {folder}/" if len(found) > 2 else ", ".join(map(str, found)) for folder, found in folders)


def _accuracy(figures: Figures) -> str:
    return f"{figures['accuracy']:.2f} % on test, {figures['validation_accuracy']:.2f} % on validation"


def _compact(figures: Figures) -> str:
    return (f"compact network, {figures['hidden_left']:,} of {figures['hidden_total']:,} hidden units and {figures['nonzeros_left']:,} of "
            f"{figures['weights_total']:,} weights, {figures['accuracy_finetuned']:.2f} % on test, "
            f"{figures['validation_accuracy_finetuned']:.2f} % on validation")


def _controls(figures: Figures) -> str:
    said = [f"{name} at the same size, {_accuracy(found)}" for name, found in figures.items() if isinstance(found, dict)]
    return "; ".join(said) or "no controls were asked for"


def _export(figures: Figures) -> str:
    files = [(name, kind, found) for name in ("dense", "compact") for kind, found in figures[name].items()]
    gap = max((found.get("largest_gap", 0) for *_, found in files), default=0)
    return f"{len(files)} files, the answers of those in float32 within {gap:.1g} of torch's"


def _benchmark(figures: Figures) -> str:
    batch, speedup = list(figures["speedup"].items())[-1]
    images, took = int(batch.removeprefix("batch_")), figures["compact"][f"latency_ms_{batch}"]["median"]
    return f"compact network, {speedup['median']:.1f} times as fast as the dense one at a batch of {images:,} ({took:#.3g} ms)"


def _uncertainty(figures: Figures) -> str:
    names = {"dense": "dense", "bayesian_mean": "Bayesian", "compact": "compact"}
    errors = [f"{name} {error:.1f}" for key, name in names.items() if (error := figures[key].get("calibration_error")) is not None]
    return f"calibration error in points, {', '.join(errors)}" if errors else "likelihood and rejection"


def _sweep(figures: Figures) -> str:
    shares = {method: figures[method]["recovered"]["within_drop"].get("share", 0) for method in ("weights", "units")}
    gone = " and ".join(f"{share:g} % of the {method}" for method, share in shares.items())
    return f"magnitude pruning, with the short retraining of the sweep, {gone} may go"


NAMES = {"download": "data set", "plot": "pictures", "headline": "the figures that the run is judged by", "report": "the page of this run"}
SAID: dict[str, Callable[[Figures], str]] = {  # by the name of the figures
    "baseline": lambda figures: f"dense network, {_accuracy(figures)}",
    "bayesian": lambda figures: f"Bayesian network, {_accuracy(figures)}",
    "prune": _compact, "controls": _controls, "export": _export, "benchmark": _benchmark, "uncertainty": _uncertainty, "sweep": _sweep}
