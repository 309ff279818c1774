"""params.yaml from conf/, as `dvc exp run -S OVERRIDE` composes it, for a machine without DVC: config.yaml, a recipe, KEY=VALUE.

A recipe may name others as its `defaults`, which are laid under it, and a value ${oc.env:NAME,DEFAULT} is that of an environment variable,
${KEY} that of another key.
What DVC's Hydra can do besides (groups, sweeps over values) no file of conf/ uses."""

import os
import re
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from sparsify.settings import InputError
from stages import reading


def composed(*overrides: str, conf: Path = Path("conf")) -> dict[str, Any]:
    """All parameters of `recipe=NAME`, or of the recipe that config.yaml names, with each KEY=VALUE put in.

    Raises InputError for a recipe or a key that does not exist."""
    pairs = [_pair(text) for text in overrides]
    params = reading.section(conf / "config.yaml")
    chosen = [entry["recipe"] for entry in _defaults(params, conf / "config.yaml") if isinstance(entry, dict) and "recipe" in entry]
    _lay_recipe(params, conf / "recipe", {"recipe": next(iter(chosen), ""), **dict(pairs)}["recipe"])
    for key, text in pairs:
        if key != "recipe":
            *sections, last = key.split(".")
            value: Any = {last: reading.parsed(text, f"the value {text}")}
            for section in reversed(sections):
                value = {section: value}
            _lay_over(params, value, f"-S {key}={text}")
    return _resolved(params, params)


def _defaults(content: dict[str, Any], path: Path) -> list[Any]:
    found = content.pop("defaults", [])
    if not isinstance(found, list):
        raise InputError(f"{path}: defaults is {found!r}; it has to be a list of recipes")
    return found


def _lay_recipe(params: dict[str, Any], folder: Path, name: str, below: tuple[str, ...] = ()) -> None:
    path = folder / f"{name}.yaml"
    if not path.is_file():
        raise InputError(f"recipe is {name!r}; it has to be one of {', '.join(sorted(file.stem for file in folder.glob('*.yaml')))}")
    if name in below:
        raise InputError(f"{path} includes itself: {' <- '.join((*below, name))}; take it out of the defaults")
    content = reading.section(path)
    for other in _defaults(content, path):
        if other != "_self_":
            _lay_recipe(params, folder, str(other), (*below, name))
    _lay_over(params, content, str(path))


def _lay_over(below: dict[str, Any], above: Mapping[str, Any], where: str, section: str = "") -> None:
    for key, value in above.items():
        if key not in below:
            raise InputError(f"{where}: {section}{key} is not a key; choose from {', '.join(below)}")
        if isinstance(below[key], dict):
            if not isinstance(value, Mapping):
                raise InputError(f"{where}: {section}{key} is a section; name one of its keys, {', '.join(below[key])}")
            _lay_over(below[key], value, where, f"{section}{key}.")
        else:
            below[key] = value


def _resolved(value: Any, params: Mapping[str, Any], within: tuple[str, ...] = ()) -> Any:
    if isinstance(value, dict):
        return {key: _resolved(item, params, within) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    if other := re.fullmatch(r"\$\{([\w.]+)\}", value):
        try:
            found = reduce(lambda section, key: section[key], other[1].split("."), params)
        except (KeyError, TypeError):
            raise InputError(f"{value} names no key; {', '.join(params)} are there") from None
        if value in within:
            raise InputError(f"{value} refers to itself; write the value out")
        return _resolved(found, params, (*within, value))
    return re.sub(r"\$\{oc\.env:(\w+),([^}]*)\}", lambda found: os.environ.get(found[1], found[2]), value)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"-S {text} has no value; write KEY=VALUE, as in -S prior.kind=mixture")
    return key, value
