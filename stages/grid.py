"""A sweep's experiments: the grid of `-S` taken apart as `dvc exp run --queue` does, their names, and the checkout that they start from."""

import configparser
import hashlib
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsify.settings import InputError, build
from stages import compose, pipeline
from stages.params import Params
from stages.trial import reference

CODE = ("sparsify", "stages", "conf", "dvc.yaml", ".dvc/config")  # what an experiment's result hangs on


@dataclass(frozen=True)
class Start:
    """What every clone is made of."""
    remote: str  # its name in git
    url: str
    commit: str


@dataclass(frozen=True)
class Experiment:
    name: str
    overrides: tuple[str, ...]
    targets: tuple[str, ...]


def experiments(grids: Iterable[str], targets: Iterable[str], commit: str) -> list[Experiment]:
    """One a point of the grid. grids: KEY=VALUE,VALUE...; targets: stages to run, with those that they read from.

    The name hangs on the commit, the overrides and the targets, and on nothing else. Raises InputError for what no stage would take."""
    stages = tuple(targets)
    found = {}
    for overrides in _points(grids):
        params = compose.composed(*overrides)
        build(Params, params)
        pipeline.needed(pipeline.stages(params), stages)
        values = dict(override.partition("=")[::2] for override in overrides)  # of one key twice, the last counts
        name = named(overrides, (commit, sorted(values.items()), stages))
        found[name] = Experiment(name, overrides, stages)
    return list(found.values())


def start(remote: str) -> Start:
    """Raises InputError where a clone elsewhere would not be what is here, or could not keep its results."""
    url, commit = git("remote", "get-url", remote), git("rev-parse", "HEAD")
    if not git("for-each-ref", "--contains", commit, f"refs/remotes/{remote}"):
        raise InputError(f"the commit {commit[:7]}, from which the clones would start, is not on {remote}; git push it")
    changed = git("status", "--porcelain", "--", *CODE)
    if changed:
        raise InputError(f"{changed.split()[1]} is not committed as it is; the clones have what is committed: commit it and push")
    config = configparser.ConfigParser()
    config.read_string(re.sub(r"(?m)^\s+", "", git("show", f"{commit}:.dvc/config")))
    store = config.get("core", "remote", fallback=None)
    if store is None:
        raise InputError("the committed .dvc/config names no default remote, where data and results meet; dvc remote add -d NAME URL, then "
                         "commit and push")
    where = config.get(f"'remote \"{store}\"'", "url", fallback="")
    if "://" not in where and not Path(where).is_absolute():
        raise InputError(f"the DVC remote {store} has the url {where!r}, which is another folder in every clone; give it an absolute one")
    return Start(remote, str(Path(url).resolve()) if Path(url).exists() else url, commit)


def arrived(at: Start) -> set[str]:
    """The names of the experiments from this commit that the git remote has."""
    lines = git("ls-remote", at.url, reference("*", at.commit)).splitlines()
    return {line.rsplit("/", 1)[1] for line in lines}


def named(overrides: Iterable[str], decides: Any) -> str:
    """A name for git and DVC, of the overrides' words and a digest.  decides: all that its result hangs on, which repr() writes out"""
    digest = hashlib.sha256(repr(decides).encode()).hexdigest()[:8]
    values = dict(override.partition("=")[::2] for override in overrides)
    words = "-".join(f"{key.rpartition('.')[2]}-{value}" for key, value in values.items())
    return re.sub(r"[^A-Za-z0-9]*\.\.+|[^A-Za-z0-9.]+", "-", f"x-{words}")[2:60].strip("-.") + f"-{digest}"


def git(*arguments: str) -> str:
    """What it prints. Raises InputError for what it refuses."""
    try:
        return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()
    except subprocess.CalledProcessError as error:
        raise InputError(f"git {arguments[0]} failed: {' '.join(error.stderr.split())}") from None


def _points(grids: Iterable[str]) -> list[tuple[str, ...]]:
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # DVC's own way
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        overrides = OverridesParser.create().parse_overrides(list(grids))
        return [tuple(point) for point in BasicSweeper.split_arguments(overrides, None)[0]]
    except HydraException as error:
        raise InputError(f"-S: {' '.join(str(error).split())}") from None
