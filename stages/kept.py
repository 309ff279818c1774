"""The last good outputs of each stage, and dvc.lock, as they were: DVC deletes outputs before it runs a stage.

They lie in scratch/last/ as hard links, which take no space while the outputs are there. A stage that fails or is interrupted puts its own
back; what a kill left is put back by `python -m stages.mend`."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from sparsify.artifacts import beside, sweep, write_bytes
from sparsify.settings import InputError
from stages import pipeline, reading

LAST, LOCK = Path("scratch/last"), Path("dvc.lock")
FOLDERS = ("data", "metrics", "models", "plots", "scratch")  # that stages write in


@contextmanager
def outputs(stage: str) -> Iterator[None]:
    """Around a stage: before it, what killed ones left half-written is swept; after it, its outputs are kept, or the last ones put back."""
    for folder in FOLDERS:
        sweep(Path(folder))
    if whole(LOCK):
        write_bytes(LAST / LOCK, LOCK.read_bytes())
    paths = outs(stage)
    deleted = bool(paths) and not any(path.exists() for path in paths)
    try:
        yield
    except BaseException:
        if deleted:  # else whoever ran it wants them as they are
            put_back(paths)
        raise
    for path in paths:
        if path.exists():
            _link(path, LAST / path)


def put_back(paths: list[Path]) -> bool:
    """All of them, so that old and new do not mix; nothing where not all were kept."""
    if not paths or not all((LAST / path).exists() for path in paths):
        return False
    for path in paths:
        _link(LAST / path, path)
    return True


def outs(stage: str) -> list[Path]:
    """None where the pipeline cannot be read: the stage itself says why, if it has to."""
    return [Path(path) for path in all_outs().get(stage, ())]


def all_outs() -> dict[str, tuple[str, ...]]:
    try:
        return {name: stage.outs for name, stage in pipeline.stages(reading.section(Path("params.yaml"))).items()}
    except (AttributeError, InputError, KeyError, OSError, RecursionError, TypeError, ValueError, yaml.YAMLError):
        return {}


def whole(lock: Path) -> bool:
    """Whether DVC could read it: a kill while it writes leaves it empty, or cut short."""
    try:
        content = yaml.safe_load(lock.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False
    return isinstance(content, dict) and "schema" in content and isinstance(content.get("stages", {}), dict)


def _link(source: Path, target: Path) -> None:
    """Never half: under a temporary name first. A file system without hard links gets copies."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new, old = beside(target, "tmp"), beside(target, "old")
    if source.is_dir():
        shutil.copytree(source, new, copy_function=_link_file)
        if target.exists():
            target.rename(old)
    else:
        _link_file(source, new)
    new.replace(target)
    shutil.rmtree(old, ignore_errors=True)


def _link_file(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
