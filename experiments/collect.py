"""From DVC's experiments to results.csv, in results/ or in another folder: one row a recipe, method and seed.

    dvc exp run --queue -S recipe=mnist-lenet-300-100 -S seed=1,2,3 && dvc queue start
    python -m experiments.collect
    python -m experiments.collect --runs DIR...   with folders that `python -m stages.run --into DIR` left on machines without DVC
    python -m experiments.collect --docs          into the project's own table, docs/results/results.csv

Every experiment whose commit is an ancestor of the present one counts, if it was run up to `controls`. It gives up to three rows: its
prior, and the same size by magnitude and from scratch. A folder may lack the controls. `overrides` is what a run changed in its recipe
beside the seed, `settings` a fingerprint of all that decides its figures. Rows add up over several machines; of two with the same settings,
method and seed the newer stays, and a row goes when its recipe is no longer what it was."""

import argparse
import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import dvc.api
import numpy as np
import pandas as pd

from experiments import places, recipes, runs
from experiments.places import TOP
from sparsify import artifacts
from sparsify.data import NAMES
from sparsify.settings import InputError, build
from stages import reading, runtime
from stages.params import Params
from stages.program import program

TABLE = "results.csv"
KEY = ["settings", "method", "seed"]
COUNTS = ["hidden_left", "hidden_total", "inputs_left", "weights_left", "weights_total", "nonzeros_left", "macs_left", "macs_total"]
COLUMNS = ["recipe", "method", "seed", "accuracy_dense", "accuracy", *COUNTS,
           "epochs", "seconds", "device", "torch", "commit", "settings", "overrides"]
STAGES = runs.MEASURED | runs.CONTROLS  # by what they measure
NO_TARGET = dict.fromkeys(("units", "weights", "nonzeros", "macs"))
# Keys that came after the first rows, at the values that leave a run as it was before them: its rows stay what they are.
LATER = {"prior": {"target": NO_TARGET}, "prune": {"target": NO_TARGET, "max_final_drop": None, "trial_epochs": None, "order": "log_alpha"},
         "bayesian": {"distill": 0.0, "temperature": 2.0, "noise_lr_factor": 1.0, "snapshots": 0},
         "finetune": {"teacher": runtime.BASELINE.name, "regrow": 0.0},
         "data": {"path": "sparsify/data/named.py", "size": None, "channels": None, "skip_unreadable": False},
         "model": {"path": "sparsify/models", "weights": None},
         "export": {"normalise": False, "calibration": 256},
         "benchmark": {"engines": ["eager"], "max_accuracy_drop": 0.5},
         "uncertainty": {"samples": 20}}
UNRELATED = ("seed", "export", "benchmark", "sweep", "controls", "uncertainty")  # they decide no figure of a row, or have a column


def rows(params: Mapping[str, Any], metrics: Mapping[str, Mapping[str, Any]], changed: str, commit: str) -> Iterator[dict[str, Any]]:
    """The rows of one experiment.  metrics: by stage; changed: its overrides; commit: the one it started from, empty if not known

    Raises InputError for parameters that the present code would not take."""
    settings = build(Params, params)
    baseline, bayesian, prune = (metrics[stage] for stage in ("baseline", "bayesian", "prune"))
    shared = {"recipe": settings.recipe_name, "seed": settings.seed, "accuracy_dense": baseline["accuracy"], "device": prune["device"],
              "torch": prune["torch"], "commit": commit, "settings": fingerprint(params), "overrides": changed}
    yield shared | {key: prune[key] for key in COUNTS} | {
        "method": settings.prior.kind, "accuracy": prune["accuracy_finetuned"], "epochs": settings.path_epochs,
        "seconds": baseline["seconds"] + bayesian["seconds"] + prune["seconds"]}
    for method in settings.controls.methods if "controls" in metrics else ():
        control, from_dense = metrics["controls"][method], method == "magnitude"
        yield shared | {key: control[key] for key in COUNTS} | {
            "method": method, "accuracy": control["accuracy"], "epochs": control["epochs"] + from_dense * settings.baseline.epochs,
            "seconds": control["seconds"] + from_dense * baseline["seconds"]}


def fingerprint(params: Mapping[str, Any]) -> str:
    """The same for two experiments whose figures differ by their seed alone."""
    deciding = {key: value for key, value in brought_up(params).items() if key not in UNRELATED}
    for section in LATER.keys() & deciding.keys():
        keys = LATER[section]
        deciding[section] = {key: value for key, value in deciding[section].items() if key not in keys or value != keys[key]}
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:8]


def brought_up(params: Mapping[str, Any]) -> dict[str, Any]:
    """`params` of an experiment of before, with the keys that came later. Where a data set known by name lay, or a teacher, decides
    nothing."""
    whole = _moving({**params, **{section: {**keys, **params.get(section, {})} for section, keys in LATER.items()}})
    if not isinstance(whole["benchmark"]["threads"], list):  # a number, once
        whole["benchmark"]["threads"] = [whole["benchmark"]["threads"]]
    if whole["data"]["name"] in NAMES:
        whole["data"]["path"] = LATER["data"]["path"]
    whole["finetune"]["teacher"] = Path(whole["finetune"]["teacher"]).name
    return whole


def _moving(section: Mapping[str, Any]) -> dict[str, Any]:
    """With shift and flip where augment was."""
    found = {key: _moving(value) if isinstance(value, Mapping) else value for key, value in section.items() if key != "augment"}
    return found | {"shift": 4 * section["augment"], "flip": section["augment"]} if "augment" in section else found


def overrides(params: Mapping[str, Any], recipe: Mapping[str, Any], where: str = "") -> list[str]:
    """What `params` has otherwise than `recipe`, as key=value."""
    found = []
    for key in [*recipe, *(key for key in params if key not in recipe)]:
        value = params.get(key)
        if not where and key in UNRELATED:
            continue
        if isinstance(value, Mapping):
            found += overrides(value, recipe.get(key, {}), f"{where}{key}.")
        elif key not in recipe or recipe[key] != value:
            found.append(f"{where}{key}={value if isinstance(value, str) else json.dumps(value)}")
    return found


def was_run(params: Mapping[str, Any], lock: Mapping[str, Any]) -> bool:
    """Whether dvc.lock says that all stages that a row needs ran with these parameters."""
    stages = [lock.get("stages", {}).get(name) for name in STAGES.values()]
    return all(runs.ran_with(params, stage) for stage in stages)


def merged(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Both, the last of those with the same key, in order."""
    together = pd.concat([old, new], ignore_index=True) if len(old) else new
    together = together.assign(overrides=together["overrides"].fillna("")).drop_duplicates(KEY, keep="last")
    return together.sort_values(["recipe", "overrides", "method", "seed"], kind="stable")[COLUMNS]


@cache
def _settings(recipe: str, changed: str) -> str:
    """The fingerprint of the recipe as it is now, with overrides; "none" where there is no such recipe or key any more."""
    try:
        return fingerprint(recipes.composed(f"recipe={recipe}", *changed.split()))
    except InputError:
        return "none"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=TOP, check=True, capture_output=True, text=True).stdout


def _experiments() -> list[str]:
    """The revisions of all experiments, oldest first."""
    found = [row["rev"] for row in dvc.api.exp_show(str(TOP), num=-1) if row["Experiment"] and row["State"] in (None, "Success")]
    lines = _git("show", "--no-patch", "--format=%ct %H", *found).splitlines() if found else []
    return [revision for _, revision in sorted(line.split() for line in lines)]


def _from_experiments() -> Iterator[dict[str, Any]]:
    for revision in _experiments():
        params, lock = (reading.parsed(_git("show", f"{revision}:{file}"), file) for file in ("params.yaml", "dvc.lock"))
        name = params["recipe_name"]
        if not was_run(params, lock) or _settings(name, "") == "none":
            print(f"left out: {revision[:7]}, {name}, which was not run up to controls, or is no recipe here")
            continue
        metrics = {stage: json.loads(_git("show", f"{revision}:metrics/{stage}.json"))[stage] for stage in STAGES}
        try:
            yield from _rows(runs.Run(params, metrics, _git("rev-parse", "--short", f"{revision}^").strip()))
        except InputError as error:
            print(f"left out: {revision[:7]}, {name}, whose parameters are those of other code: {error}")


def _from_folder(folder: Path, commit: str) -> list[dict[str, Any]]:
    """commit: of a folder that does not name its own"""
    run = runs.read(folder)
    name = run.params["recipe_name"]
    if _settings(name, "") == "none":
        raise InputError(f"{folder} is of recipe {name}, which conf/recipe/ does not have")
    return list(_rows(run._replace(commit=run.commit or commit)))


def _rows(run: runs.Run) -> list[dict[str, Any]]:
    params = brought_up(run.params)
    changed = overrides(params, brought_up(recipes.composed(f"recipe={params['recipe_name']}")))
    return list(rows(params, run.metrics, " ".join(changed), run.commit))


@program()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", metavar="DIR", type=Path, nargs="+", default=[], help="folders of runs made elsewhere")
    places.add_folder(parser)
    parser.add_argument("--commit", default="", help="of the code that made those of them which do not say")
    chosen = parser.parse_args()
    carried = [row for folder in chosen.runs for row in _from_folder(folder, chosen.commit)]
    found = list(_from_experiments())
    path = chosen.into / TABLE
    old = pd.read_csv(path, keep_default_na=False) if path.is_file() else pd.DataFrame(columns=COLUMNS)
    table = merged(old, pd.DataFrame([*found, *carried], columns=COLUMNS))
    current = np.array([row.settings == _settings(row.recipe, row.overrides) for row in table.itertuples()], dtype=bool)
    artifacts.write_bytes(path, table[current].to_csv(index=False, lineterminator="\n").encode())
    print(f"{len(found)} rows from experiments, {len(carried)} from folders; {places.shown(path)} has {sum(current)}, and lost "
          f"{len(current) - sum(current)} whose recipe has changed")


if __name__ == "__main__":
    main()
