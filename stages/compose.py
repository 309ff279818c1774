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

import yaml

from sparsify.settings import InputError


def composed(*overrides: str, conf: Path = Path("conf")) -> dict[str, Any]:
    """All parameters of `recipe=NAME`, or of the recipe that config.yaml names, with each KEY=VALUE put in.

    Raises InputError for a recipe or a key that does not exist."""
    pairs = [_pair(text) for text in overrides]
    params = _read(conf / "config.yaml")
    recipe = {"recipe": next((entry["recipe"] for entry in params.pop("defaults") if "recipe" in entry), ""), **dict(pairs)}["recipe"]
    _lay_recipe(params, conf / "recipe", recipe)
    for key, text in pairs:
        if key != "recipe":
            *sections, last = key.split(".")
            value: Any = {last: _value(text)}
            for section in reversed(sections):
                value = {section: value}
            _lay_over(params, value, f"-S {key}={text}")
    return _resolved(params, params)


def written(params: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(params), sort_keys=False)


def _lay_recipe(params: dict[str, Any], folder: Path, name: str) -> None:
    path = folder / f"{name}.yaml"
    if not path.is_file():
        raise InputError(f"recipe is {name!r}; it has to be one of {', '.join(sorted(file.stem for file in folder.glob('*.yaml')))}")
    content = _read(path)
    for other in content.pop("defaults", []):
        if other != "_self_":
            _lay_recipe(params, folder, other)
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


def _resolved(value: Any, params: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _resolved(item, params) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    if other := re.fullmatch(r"\$\{([\w.]+)\}", value):
        return _resolved(reduce(lambda section, key: section[key], other[1].split("."), params), params)
    return re.sub(r"\$\{oc\.env:(\w+),([^}]*)\}", lambda found: os.environ.get(found[1], found[2]), value)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"-S {text} has no value; write KEY=VALUE, as in -S prior.kind=mixture")
    return key, value


def _value(text: str) -> Any:
    value = _yaml(text, f"the value {text}")
    try:
        return float(value) if isinstance(value, str) else value  # Hydra reads 1e-3 as a number, PyYAML does not
    except ValueError:
        return value


def _read(path: Path) -> dict[str, Any]:
    try:
        return _yaml(path.read_text(), str(path))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist here; run in the top directory of the project") from None


def _yaml(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{where} is not YAML ({' '.join(str(error).split())})") from None
