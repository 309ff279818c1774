"""dvc.yaml read without DVC: what each stage is made of, whether it is done, and the note that says so.

The note, a file run.yaml, has for every stage that ran its command, the sha256 of its dependencies and outputs, and its parameters.
A stage is done if all of that is the same now."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from sparsify.settings import InputError
from stages import reading

KNOWN = {"cmd", "deps", "params", "outs", "metrics", "plots", "desc", "wdir"}
REPORTS = ("metrics/", "plots/")


@dataclass(frozen=True)
class Stage:
    name: str
    cmd: str
    deps: tuple[str, ...]
    params: tuple[str, ...]  # dotted keys of params.yaml
    reports: tuple[str, ...]  # its figures and curves, in the folders of REPORTS
    outs: tuple[str, ...]  # all that it writes, the reports among them
    wdir: str = "."  # from its dvc.yaml; ..: of a folder, whose stage works in the top directory all the same


def stages(params: Mapping[str, Any], path: Path = Path("dvc.yaml")) -> dict[str, Stage]:
    """By name, in an order in which each stands behind those whose outputs it reads. Raises InputError.

    params: what fills the ${keys} of dvc.yaml. Stages of a folder's own dvc.yaml that work in the top directory (wdir: ..) are among them
    where one of the others reads their outputs, as in DVC."""
    if not path.is_file():
        raise InputError(f"{path} does not exist here; run in the top directory of the project")
    own = _read(path, params)
    found = {**_beside(path.parent, params), **own}
    return {name: found[name] for name in _upstream(found, own)}


def needed(all_stages: Mapping[str, Stage], names: Iterable[str]) -> list[Stage]:
    """The stages of these names, and those that they read from, in order. Raises InputError for a name that is none."""
    for name in names:
        if name not in all_stages:
            raise InputError(f"{name} is not a stage; choose from {', '.join(all_stages)}")
    wanted = _upstream(all_stages, names)
    return [stage for name, stage in all_stages.items() if name in wanted]


def fingerprint(stages: Iterable[Stage], params: Mapping[str, Any]) -> str:
    """Of all that decides what these stages write: their commands, parameters, and the files that they read and none of them writes."""
    together = list(stages)
    made = {path for stage in together for path in stage.outs}
    entries = {stage.name: entry(replace(stage, deps=tuple(path for path in stage.deps if path not in made), outs=()), params)
               for stage in together}
    return hashlib.sha256(repr(entries).encode()).hexdigest()


def entry(stage: Stage, params: Mapping[str, Any]) -> dict[str, Any]:
    """What the note says of a stage that has just run, or would say now. Raises InputError for a key or dependency that is missing."""
    for path in stage.deps:
        if not Path(path).exists():
            raise InputError(f"{path}, which the stage {stage.name} reads, does not exist")
    return {"cmd": stage.cmd, "deps": {path: digest(Path(path)) for path in stage.deps},
            "params": {"params.yaml": {key: _at(params, key, f"the stage {stage.name}") for key in stage.params}},
            "outs": {path: digest(Path(path)) for path in stage.outs if Path(path).exists()}}


def done(stage: Stage, params: Mapping[str, Any], note: Mapping[str, Any]) -> bool:
    noted = note["stages"].get(stage.name)
    return (noted is not None and set(noted["outs"]) == set(stage.outs) and all(Path(path).exists() for path in stage.deps)
            and noted == entry(stage, params))


def read_note(path: Path) -> dict[str, Any]:
    """An empty note if there is none."""
    note = reading.section(path) if path.is_file() else {"stages": {}}
    if not isinstance(note.get("stages"), dict):
        raise InputError(f"{path} is no note of what ran; delete it, and all stages run again")
    return note


def digest(path: Path) -> str:
    """Of a file, or of the names and contents of all files in a folder but compiled ones. Links to folders are followed."""
    if path.is_file():
        return _file_digest(path, path.stat().st_size, path.stat().st_mtime_ns)
    total = hashlib.sha256()
    for file in sorted(_files(path)):
        if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".pyc":
            total.update(os.fsencode(f"{file.relative_to(path)}\n{digest(file)}\n"))
    return total.hexdigest()


def _files(top: Path) -> Iterator[Path]:
    for folder, below, names in os.walk(top, followlinks=True):
        here = Path(folder).resolve()
        below[:] = [name for name in below if not here.is_relative_to(Path(folder, name).resolve())]  # else a link up has no end
        yield from (Path(folder, name) for name in names)


@cache
def _file_digest(path: Path, size: int, changed: int) -> str:
    """Size and time stand for the content while one program runs: a data set is read once, not once a stage."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path, params: Mapping[str, Any]) -> dict[str, Stage]:
    text = re.sub(r"\$\{([\w.]+)\}", lambda key: str(_at(params, key[1], path.name)), reading.text(path))
    content = reading.parsed(text, str(path))
    if not isinstance(content, Mapping) or not isinstance(content.get("stages"), Mapping):
        raise InputError(f"{path} holds no stages; restore it with git")
    return {name: _stage(name, entry) for name, entry in content["stages"].items()}


def _beside(top: Path, params: Mapping[str, Any]) -> dict[str, Stage]:
    return {name: stage for file in sorted(top.glob("*/dvc.yaml")) for name, stage in _read(file, params).items() if stage.wdir == ".."}


def _stage(name: str, content: Mapping[str, Any]) -> Stage:
    unknown = set(content) - KNOWN if isinstance(content, Mapping) else {"no keys"}
    if unknown or not isinstance(content.get("cmd"), str):
        raise InputError(f"the stage {name} of dvc.yaml needs DVC: it has {', '.join(sorted(unknown)) or 'no single cmd'}; "
                         f"without DVC only {', '.join(sorted(KNOWN))} are understood")
    lists = {kind: tuple(_path(item) for item in content.get(kind, ())) for kind in KNOWN - {"cmd", "desc", "wdir"}}
    outs = lists["outs"] + lists["metrics"] + lists["plots"]
    reports = tuple(path for path in outs if path.startswith(REPORTS))
    return Stage(name, content["cmd"], lists["deps"], lists["params"], reports, outs, content.get("wdir", "."))


def _path(item: str | Mapping[str, Any]) -> str:
    return item if isinstance(item, str) else next(iter(item))  # {path: options}


def _upstream(all_stages: Mapping[str, Stage], names: Iterable[str]) -> list[str]:
    """The names and all that they read from, those first."""
    writer = {path: stage.name for stage in all_stages.values() for path in stage.outs}
    order: list[str] = []
    open_names: set[str] = set()

    def visit(name: str) -> None:
        if name in open_names:
            raise InputError(f"dvc.yaml goes in a circle at the stage {name}")
        if name not in order:
            open_names.add(name)
            for dep in all_stages[name].deps:
                if dep in writer:
                    visit(writer[dep])
            open_names.discard(name)
            order.append(name)

    for name in names:
        visit(name)
    return order


def _at(params: Mapping[str, Any], key: str, reader: str) -> Any:
    value: Any = params
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise InputError(f"params.yaml has no {key}, which {reader} reads")
        value = value[part]
    return value
