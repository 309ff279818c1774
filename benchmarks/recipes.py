"""A recipe's parameters, composed as `dvc exp run -S OVERRIDE` composes them, and what is kept of its run for docs/."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml
from dvc.repo import Repo
from dvc.utils.hydra import compose_and_dump

from sparsify.settings import InputError

TOP = Path(__file__).parent.parent
KEPT = TOP / "docs" / "results"  # a folder a recipe


def written(path: Path, *overrides: str) -> None:
    """Writes the composed parameters to `path`."""
    compose_and_dump(str(path), str(TOP / "conf"), None, "config", "", list(overrides))


def composed(*overrides: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        written(path, *overrides)
        return yaml.safe_load(path.read_text())


def present() -> str:
    """The recipe that params.yaml names."""
    return _params()["recipe_name"]


def keep(recipe: str, *files: str) -> None:
    """Copies `files` of the present run to the recipe's folder. Raises InputError if they are not what the recipe itself gives."""
    if _params() | {"seed": None} != composed(f"recipe={recipe}") | {"seed": None}:
        raise InputError(f"params.yaml is of {present()}, or not as recipe {recipe} has it; run dvc exp run -S recipe={recipe} first")
    with Repo(str(TOP)) as repo:
        stale = repo.status(targets=list(files))
    if stale:
        raise InputError(f"{', '.join(stale)} did not run with the present parameters; run dvc exp run -S recipe={recipe} first")
    (KEPT / recipe).mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(TOP / file, KEPT / recipe)


def _params() -> dict[str, Any]:
    return yaml.safe_load((TOP / "params.yaml").read_text())
