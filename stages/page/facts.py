"""What the files of one run say, read once: the figures of every method side by side, the headline, and what is missing."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from sparsify.artifacts import FileError
from sparsify.compress import store
from stages import runtime

NEEDED = ("baseline", "bayesian", "prune")
OPTIONAL = ("controls", "benchmark", "uncertainty", "sweep", "export")
TABLES = {"baseline_curve": "baseline", "bayesian_curve": "bayesian", "finetune_curve": "prune", "threshold_scan": "prune",
          "units": "prune", "latency": "benchmark", "rejection": "uncertainty", "sweep": "sweep"}  # by the metrics that came with them
ALIKE = 0.25  # points: how far one network's accuracy may lie apart in two stages, whose batches differ


@dataclass(frozen=True)
class Method:
    """One network of the run. None stands for what was not measured."""

    key: str
    label: str
    accuracy: float  # test, percent
    validation_accuracy: float | None
    nll: float | None
    calibration_error: float | None
    units: int
    weights: int  # that are not zero
    macs: int
    seconds: float | None  # to train it, from the network that it starts with
    latency_ms: Mapping[int, Mapping[str, float]] = field(default_factory=dict)  # by batch: median, q25, q75, in torch
    kilobytes: float | None = None


@dataclass(frozen=True)
class Facts:
    metrics: Mapping[str, Mapping[str, Any]]  # by stage
    methods: Mapping[str, Method]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=dict)  # the header of the compact network's file

    @property
    def batch(self) -> int:
        """The largest that was timed."""
        return max(self.methods["dense"].latency_ms)

    @property
    def speedup(self) -> float | None:
        """Of the compact network over the dense one in torch, at the largest batch."""
        return self.metrics["benchmark"]["speedup"][f"batch_{self.batch}"]["median"] if "benchmark" in self.metrics else None

    @property
    def points_lost(self) -> float:
        return self.methods["dense"].accuracy - self.methods["finetuned"].accuracy

    @property
    def units_removed_percent(self) -> float:
        before, after = self.methods["dense"].units, self.methods["finetuned"].units
        return 100 * (1 - after / before) if before else 0.0


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def read() -> Facts:
    """Of the run in this folder. What was not run, or is of another run, is left out with a line. Raises FileError."""
    found = figures()
    tables = {table: _table(table) for table, source in TABLES.items() if source in found.metrics}
    return replace(found, tables=tables, network=store.header(runtime.COMPACT))


def figures(optional: Iterable[str] = OPTIONAL) -> Facts:
    """As `read`, without curves and network. optional: the stages to take, of those that were run"""
    metrics = {name: _metrics(name) for name in NEEDED}
    for name in optional:
        if (runtime.METRICS / f"{name}.json").is_file():
            metrics[name] = _metrics(name)
    for name, why in list(_foreign(metrics)):
        print(f"left out: {runtime.METRICS}/{name}.json is of another run ({why})", file=sys.stderr)
        del metrics[name]
    return Facts(metrics, methods(metrics))


def methods(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Method]:
    """By name, in the order of the page."""
    baseline, bayesian, prune = (metrics[name] for name in NEEDED)
    trusted = metrics.get("uncertainty", {})
    calibration = {name: found.get("calibration_error") for name, found in trusted.items() if isinstance(found, dict)}
    before: dict[str, Any] = {"units": prune["hidden_total"], "weights": prune["weights_total"], "macs": prune["macs_total"]}
    found = [
        Method("dense", "dense", baseline["accuracy"], baseline["validation_accuracy"], baseline["nll"], calibration.get("dense"),
               **before, seconds=baseline["seconds"], **_timed(metrics, "dense")),
        Method("bayesian", "Bayesian", bayesian["accuracy"], bayesian["validation_accuracy"], bayesian["nll"],
               calibration.get("bayesian_mean"), **before, seconds=bayesian["seconds"]),
        Method("compact", "compact, as cut", prune["accuracy_compact"], None, None, None, **_left(prune), seconds=None),
        Method("finetuned", "compact, fine-tuned", prune["accuracy_finetuned"], prune["validation_accuracy_finetuned"],
               prune["nll_finetuned"], calibration.get("compact"), **_left(prune), seconds=prune["seconds"], **_timed(metrics, "compact"))]
    labels = {"magnitude": "magnitude, same size", "scratch": "from scratch, same size"}
    found += [Method(name, labels.get(name, name), control["accuracy"], control["validation_accuracy"], control["nll"], None,
                     **_left(control), seconds=control["seconds"])
              for name, control in metrics.get("controls", {}).items() if isinstance(control, dict)]
    return {method.key: method for method in found}


def headline(facts: Facts) -> dict[str, float]:
    """The figures that a run is judged by, each once, at most fifteen; those that were measured."""
    of = facts.methods
    small = of["finetuned"]
    found = {"accuracy_dense": of["dense"].accuracy, "accuracy_bayesian": of["bayesian"].accuracy, "accuracy_cut": of["compact"].accuracy,
             "accuracy": small.accuracy, "validation_accuracy": small.validation_accuracy,
             **{f"accuracy_{name}": of[name].accuracy for name in ("magnitude", "scratch") if name in of},
             "units_left": small.units, "weights_left": small.weights, "macs_left": small.macs,
             "speedup": facts.speedup, "latency_ms": small.latency_ms[facts.batch]["median"] if small.latency_ms else None,
             "calibration_error": small.calibration_error}
    return {name: value for name, value in found.items() if value is not None}


def sentence(facts: Facts) -> str:
    """The headline in words: what went, what that brought, what it cost, and what the controls lose."""
    of = facts.methods
    dense, small = of["dense"], of["finetuned"]
    if small.units < dense.units:
        said = [f"{facts.units_removed_percent:.0f} % of the hidden units went ({dense.units:,} to {small.units:,})"]
    elif small.weights < dense.weights:
        said = [f"{100 * (1 - small.weights / dense.weights):.1f} % of the weights went ({dense.weights:,} to {small.weights:,})"]
    else:
        said = [f"nothing went: all {dense.units:,} hidden units and {dense.weights:,} weights stay"]
    if pixels := facts.metrics["prune"].get("inputs_removed_percent"):
        said.append(f"{pixels:.0f} % of the inputs are not read any more")
    if facts.speedup:
        said.append(_time(f"a batch of {facts.batch:,}" if facts.batch > 1 else "one example", facts.speedup))
    said.append("and " + _change(facts.points_lost, "no accuracy was lost", "{:.1f} points of accuracy were lost",
                                 "{:.1f} points of accuracy were gained"))
    ways = {"magnitude": "magnitude pruning to the same size", "scratch": "the same small network from scratch"}
    others = [f"{way} {_change(dense.accuracy - of[name].accuracy, 'loses none', 'loses {:.1f} points', 'gains {:.1f} points')}"
              for name, way in ways.items() if name in of]
    words = "; ".join([", ".join(said), ", ".join(others)] if others else [", ".join(said)])
    return f"{words[0].upper()}{words[1:]}."


def _time(what: str, speedup: float) -> str:
    if speedup >= 1.05:
        return f"{what} runs {speedup:.1f} times as fast"
    return f"{what} takes {1 / speedup:.1f} times as long" if speedup <= 1 / 1.05 else f"{what} takes as long as before"


def _change(points: float, none: str, lost: str, gained: str) -> str:
    """None: what a figure with one decimal shows as 0.0."""
    return none if abs(points) < 0.05 else (lost if points > 0 else gained).format(abs(points))


def _left(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"units": found["hidden_left"], "weights": found["nonzeros_left"], "macs": found["macs_left"]}


def _timed(metrics: Mapping[str, Mapping[str, Any]], network: str) -> dict[str, Any]:
    found = metrics.get("benchmark", {}).get(network, {})
    start = "latency_ms_batch_"
    return {"latency_ms": {int(key.removeprefix(start)): value for key, value in found.items() if key.startswith(start)},
            "kilobytes": found["bytes"] / 1000 if found else None}


def _foreign(metrics: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Metrics that speak of other networks than those of this run: left over from one that ran further."""
    dense, small = metrics["baseline"]["accuracy"], metrics["prune"]["accuracy_finetuned"]
    for name in OPTIONAL:
        found = metrics.get(name, {})
        for network, accuracy in (("dense", dense), ("compact", small)):
            said = found.get(network, {}).get("accuracy") if name in ("benchmark", "uncertainty", "sweep") else None
            if said is not None and abs(said - accuracy) > ALIKE:
                yield name, f"its {network} network has {said:.2f} %, here it is {accuracy:.2f} %"
                break
        if name == "controls" and any(control["weights_left"] != metrics["prune"]["weights_left"]
                                      for control in found.values() if isinstance(control, dict)):
            yield name, "its networks are of another size"


def _metrics(name: str) -> dict[str, Any]:
    path = runtime.METRICS / f"{name}.json"
    try:
        return json.loads(path.read_text())[name]
    except FileNotFoundError:
        raise FileError(f"{path} does not exist") from None
    except (ValueError, KeyError):
        raise FileError(f"{path} holds no figures of {name}") from None


def _table(name: str) -> pd.DataFrame:
    path = Path(runtime.PLOTS / f"{name}.csv")
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise FileError(f"{path} does not exist") from None
    except (ValueError, pd.errors.ParserError):
        raise FileError(f"{path} is no table") from None
