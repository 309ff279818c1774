"""The data set as a folder, which the stages share.

inputs.npy      (N, ...) uint8 or float32: all examples, as they came
labels.npy      (N,) int64
train.npy validation.npy test.npy   (n,) int64: the rows of each part, in its order
about.json      the names of the classes, the scaling, and checksums: of each other file, and of itself without that line

Checksums are compared by `load`, but for inputs that stay in their file: those are read by the batch, and all of them once for that would
take as long as an epoch."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sparsify.artifacts import FileError, beside, checksum, naming, write_bytes
from sparsify.data import memory
from sparsify.data.mapped import Mapped
from sparsify.data.splits import Dataset, Scaling, Split
from sparsify.settings import quoted

PARTS = ("train", "validation", "test")
INPUTS, LABELS, ABOUT = "inputs.npy", "labels.npy", "about.json"
FILES = (INPUTS, LABELS, *(f"{part}.npy" for part in PARTS))
CHUNK_BYTES = 1 << 24  # that are read or copied at a time


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to write in, which takes the place of `path` at the end, and is gone if anything goes wrong."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = (beside(path, end) for end in ("tmp", "old"))
    try:
        temporary.mkdir()
        with naming(path):
            yield temporary
        for file in temporary.iterdir():
            with file.open("rb") as written:
                os.fsync(written.fileno())  # else a power cut can leave the new name without its content
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    finally:
        for folder in (temporary, old):
            if folder.is_dir():
                shutil.rmtree(folder)
            else:
                folder.unlink(missing_ok=True)


def write_about(folder: Path, classes: tuple[str, ...], scaling: Scaling) -> None:
    """Once all other files are there. Numbers as JSON keeps them: every digit."""
    about = {"classes": list(classes), "unit": scaling.unit, "mean": scaling.mean.tolist(), "std": scaling.std.tolist(),
             "checksums": {name: _checksum(folder / name) for name in FILES}}
    about["checksum"] = _own(about)
    write_bytes(folder / ABOUT, (json.dumps(about, indent=1) + "\n").encode())


def load(path: Path, device: torch.device | str = "cpu", mapped: bool | None = None) -> Dataset:
    """What `save` wrote, on `device`.

    mapped: whether the inputs stay in their file and are read batch by batch; if not given, where they would fill more than half of
    the memory that is free, which one line then says. Raises FileError."""
    about = _about(path)
    inputs, labels = _array(path / INPUTS, map=True), _numbers(path / LABELS)
    rows = {part: _numbers(path / f"{part}.npy") for part in PARTS}
    if wrong := _wrong(about, inputs, labels, rows):
        raise FileError(f"{path} is not a data set: {wrong}")
    if mapped is None:
        mapped = _too_large(sum(map(len, rows.values())) * inputs[:1].nbytes, device)
    for name in FILES[1:] if mapped else FILES:
        if about["checksums"].get(name) != _checksum(path / name):
            raise FileError(f"{path / name} is damaged, or not of this data set: {ABOUT} has another checksum")
    scaling = Scaling(torch.tensor(about["mean"]), torch.tensor(about["std"]), about["unit"]).to(device)
    splits = {part: Split(Mapped(path / INPUTS, each) if mapped else _taken(inputs, each, device), labels[each].to(device), scaling)
              for part, each in rows.items()}
    return Dataset(**splits, classes=tuple(about["classes"]))


def chunks(rows: Tensor, bytes_each: int) -> tuple[Tensor, ...]:
    """`rows` in pieces of about CHUNK_BYTES."""
    return rows.split(max(1, CHUNK_BYTES // max(1, bytes_each)))


def _taken(inputs: Any, rows: Tensor, device: torch.device | str) -> Tensor:
    """Piece by piece: memory takes them once."""
    taken = torch.empty(len(rows), *inputs.shape[1:], dtype=getattr(torch, str(inputs.dtype)), device=device)
    start = 0
    for chunk in chunks(rows, inputs[:1].nbytes):
        taken[start:start + len(chunk)] = torch.from_numpy(np.asarray(inputs[chunk.numpy()]))
        start += len(chunk)
    return taken


def _too_large(size: int, device: torch.device | str) -> bool:
    free = memory.free(device)
    if size <= free // 2:
        return False
    if memory.first():
        captured = "; training steps are not captured as CUDA graphs" if torch.device(device).type == "cuda" else ""
        tqdm.write(f"The data set has {size / 1e9:.3g} GB, more than half of the {free / 1e9:.3g} GB that are free: it stays on the disk "
                   f"and is read batch by batch{captured}.", file=sys.stderr)
    return True


def _wrong(about: dict[str, Any], inputs: Any, labels: Tensor, rows: dict[str, Tensor]) -> str | None:
    """What does not belong in a data set, if anything."""
    if str(inputs.dtype) not in ("uint8", "float32") or inputs.ndim not in (2, 4) or not inputs.size:
        return f"{INPUTS} has {inputs.dtype} of shape {inputs.shape}; it has to have (N, C, H, W) or (N, F), uint8 or float32"
    if not isinstance(about["classes"], list) or not all(isinstance(each, str) for each in about["classes"]):
        return f"{ABOUT} has {quoted(about['classes'])} as classes; they have to be names"
    for key, count in (("mean", inputs.shape[1]), ("std", inputs.shape[1]), ("unit", 1)):
        values = [about[key]] if count == 1 and key == "unit" else about[key]
        if not isinstance(values, list) or len(values) != count or not all(
                type(each) in (int, float) and abs(each) < 1e38 for each in values):
            return f"{ABOUT} has {quoted(about[key])} as {key}; it has to be {count} finite number{'s' * (count > 1)}"
        if key != "mean" and min(values) <= 0:
            return f"{ABOUT} has {min(values)} as {key}; it has to be above 0"
    for part, found in rows.items():
        if not _within(found, len(labels)):
            return f"{part}.npy has to hold whole numbers from 0 to {len(labels) - 1}, and at least one"
        if not _within(labels[found], len(about["classes"])):  # of what was left out it is -1
            return f"{LABELS} has to hold whole numbers from 0 to {len(about['classes']) - 1}"
    return None if len(inputs) == len(labels) else "its files do not belong together"


def _within(values: Tensor, below: int) -> bool:
    return bool(len(values)) and int(values.min()) >= 0 and int(values.max()) < below


def _about(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise FileError(f"{path} does not exist")
    try:
        about = json.loads((path / ABOUT).read_text())
        missing = [key for key in ("classes", "unit", "mean", "std", "checksums", "checksum") if key not in about]
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise FileError(f"{path} is not a data set: {ABOUT} cannot be read ({type(error).__name__})") from None
    if missing or not isinstance(about, dict):
        raise FileError(f"{path} is not a data set: {ABOUT} lacks {', '.join(missing) or 'its keys'}")
    if about.pop("checksum") != _own(about):
        raise FileError(f"{path / ABOUT} is damaged: its checksum is not that of its content")
    if not isinstance(about["checksums"], dict):
        raise FileError(f"{path} is not a data set: checksums of {ABOUT} is no list of files")
    return about


def _numbers(path: Path) -> Tensor:
    found = _array(path)
    if not isinstance(found, np.ndarray) or found.dtype != np.int64 or found.ndim != 1:
        raise FileError(f"{path} is not a list of whole numbers, int64")
    return torch.from_numpy(found)


def _own(about: dict[str, Any]) -> str:
    return checksum(json.dumps(about).encode()).hexdigest()


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, checksum).hexdigest()


def _array(path: Path, map: bool = False) -> Any:
    try:
        return np.lib.format.open_memmap(path, mode="r") if map else np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise FileError(f"{path.parent} is not a data set: it lacks {path.name}") from None
    except Exception as error:  # numpy raises many types: cut short, no .npy, objects inside, a header that is no Python
        raise FileError(f"{path} cannot be read ({' '.join(str(error).split())[:100]})") from None

