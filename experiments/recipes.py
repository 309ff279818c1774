"""A recipe's parameters, and what is kept of its run for docs/."""

import shutil
from typing import Any

from dvc.repo import Repo

from experiments.places import KEPT, TOP
from sparsify.settings import InputError
from stages import compose, reading


def composed(*overrides: str) -> dict[str, Any]:
    """As `dvc exp run -S OVERRIDE` composes them."""
    return compose.composed(*overrides, conf=TOP / "conf")


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
    return reading.section(TOP / "params.yaml")
