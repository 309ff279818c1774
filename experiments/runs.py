"""A run made elsewhere, as a folder: params.yaml, metrics/*.json, plots/*.csv, and run.yaml where `python -m stages.run` made it.

A folder without run.yaml does not say which code made it, nor with which parameters each stage ran; the second is then checked against
what its figures and curves say of themselves."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from sparsify.settings import InputError
from stages import reading

MEASURED = {"baseline": "train_baseline", "bayesian": "train_bayesian", "prune": "prune"}  # what a row needs, and the stage it is of
CONTROLS = {"controls": "controls"}  # what it may have besides
EPOCHS = {"baseline": ("baseline",), "bayesian": ("bayesian", "train"), "finetune": ("finetune", "train")}  # by curve, their section


class Run(NamedTuple):
    params: dict[str, Any]
    metrics: dict[str, dict[str, Any]]  # by stage; controls where they were run
    commit: str  # of the code that made it; nothing if the folder does not say


def read(folder: Path) -> Run:
    """Raises InputError for a folder that lacks what a row needs, or whose stages did not run with its parameters."""
    params = reading.parsed(_text(folder, "params.yaml"), f"{folder / 'params.yaml'}")
    note = reading.parsed(_text(folder, "run.yaml"), f"{folder / 'run.yaml'}") if (folder / "run.yaml").is_file() else None
    measured = MEASURED | {name: stage for name, stage in CONTROLS.items() if (folder / "metrics" / f"{name}.json").is_file()}
    metrics = {name: json.loads(_text(folder, f"metrics/{name}.json"))[name] for name in measured}
    if note is None:
        _check_figures(folder, params, metrics)
    else:
        for stage in measured.values():
            if not ran_with(params, note["stages"].get(stage)):
                raise InputError(f"{folder}: {stage} did not run with params.yaml; run python -m stages.run {stage} --into a new folder")
    return Run(params, metrics, note["commit"] if note else "")


def ran_with(params: Mapping[str, Any], locked: Mapping[str, Any] | None) -> bool:
    """Whether a stage's entry in dvc.lock, or in run.yaml, has these parameters."""
    def value(key: str) -> Any:
        found: Any = params
        for part in key.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found

    return bool(locked) and all(value(key) == there for key, there in locked["params"]["params.yaml"].items())


def _check_figures(folder: Path, params: Mapping[str, Any], metrics: Mapping[str, Mapping[str, Any]]) -> None:
    claims = [(f"metrics/{name}.json", "seed", metrics[name]["seed"], params["seed"]) for name in metrics]
    claims.append(("metrics/bayesian.json", "prior", metrics["bayesian"]["prior"], params["prior"]["kind"]))
    for curve, section in EPOCHS.items():
        path, settings = folder / "plots" / f"{curve}_curve.csv", params
        for key in section:
            settings = settings[key]
        if path.is_file():
            claims.append((f"plots/{path.name}", "last epoch", int(pd.read_csv(path)["epoch"].iloc[-1]), settings["epochs"]))
    for file, what, says, wanted in claims:
        if says != wanted:
            raise InputError(f"{folder}: {file} has {what} {says}, params.yaml {wanted}; they are not of one run")


def _text(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text()
    except FileNotFoundError:
        raise InputError(f"{folder} has no {name}; a run up to prune leaves it: python -m stages.run prune --into DIR") from None
