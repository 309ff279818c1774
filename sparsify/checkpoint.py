"""A training that was interrupted goes on where its last epoch ended, bit for bit: model, optimiser, schedule, random state, curve.

A stage that measures many networks keeps each row (Results), and measures none of them twice."""

import copy
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from sparsify import alike
from sparsify.artifacts import read_tensors, tensors_checksum, write_tensors
from sparsify.settings import InputError

Curve = list[dict[str, float]]
Parts = Mapping[str, Any]  # whatever has state_dict() and load_state_dict(), by name


class Keeper:
    """Keeps the state of the last epoch in memory, and writes it to `path` when `every_seconds` have passed since it last did, and at
    the end of its `with`, however that comes: an epoch may take less time than its state takes to be written.

    path: None to keep nothing."""

    def __init__(self, path: Path | None, parts: Parts, every_seconds: float):
        self._path, self._parts, self._every_seconds = path, parts, every_seconds
        self._unwritten: dict[str, Any] | None = None
        self._written_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()

    def keep(self, curve: Curve) -> None:
        if self._path is None:
            return
        random = {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []}
        parts = {name: part.state_dict() for name, part in self._parts.items()}
        self._unwritten = copy.deepcopy({"parts": parts, "random": random, "curve": curve})
        if time.monotonic() - self._written_at >= self._every_seconds:
            self._write()

    def load(self) -> Curve:
        """Puts the state in the file into the parts and into torch's generators, and returns the curve so far; if there is no file
        nothing changes. Raises InputError for one that is damaged or of another training."""
        if self._path is None or not self._path.exists():
            return []
        content = _read(self._path)
        try:
            for name, part in self._parts.items():
                if isinstance(part, torch.optim.Optimizer):
                    alike.check_optimizer(content["parts"][name], part)
                elif isinstance(part, torch.optim.lr_scheduler.OneCycleLR):
                    alike.check_schedule(content["parts"][name], part.state_dict())
                else:
                    alike.check(content["parts"][name], part.state_dict(), name)
                part.load_state_dict(content["parts"][name])
            torch.set_rng_state(content["random"]["cpu"])
            if content["random"]["cuda"]:
                torch.cuda.set_rng_state_all(content["random"]["cuda"])
            return content["curve"]
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise _unfit(self._path, error) from None

    def _write(self) -> None:
        """Never half-written: the file of an epoch before stays until this one is whole."""
        if self._path is not None and self._unwritten is not None:
            write_tensors(self._path, self._unwritten)
            self._unwritten, self._written_at = None, time.monotonic()


class Results:
    """Rows of plain data by name, in a file that is written when `every_seconds` have passed and at the end of its `with`.

    path: None to keep nothing. writes: whether this process does, of several that share the file. before: seconds that count too."""

    def __init__(self, path: Path | None, writes: bool = True, every_seconds: float = 20.0, before: float = 0.0):
        self._path, self._writes, self._every_seconds = path, writes, every_seconds
        content = read_tensors(path) if path is not None and path.exists() else {}
        self._rows: dict[str, Any] = content.get("rows", {})
        self._before, self._start = before + content.get("seconds", 0.0), time.monotonic()
        self._written_at, self._unwritten = self._start, False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def seconds(self) -> float:
        """That were spent, those of interrupted runs among them."""
        return self._before + time.monotonic() - self._start

    def get(self, of: str | nn.Module, measure: Callable[[], Any]) -> Any:
        """What `measure` said of that name, or of a network of these very tensors, before; else what it says now."""
        name = of if isinstance(of, str) else tensors_checksum(of.state_dict())
        if name not in self._rows:
            self._rows[name], self._unwritten = measure(), True
            if time.monotonic() - self._written_at >= self._every_seconds:
                self._write()
        return self._rows[name]

    def _write(self) -> None:
        if self._path is not None and self._writes and self._unwritten:
            write_tensors(self._path, {"rows": self._rows, "seconds": self.seconds})
            self._unwritten, self._written_at = False, time.monotonic()


def seconds(path: Path) -> float:
    """What the epochs took whose state is in `path`; 0 if there is no such file."""
    return sum(row["seconds"] for row in _read(path)["curve"]) if path.exists() else 0.0


def _read(path: Path) -> dict[str, Any]:
    """Raises FileError for a file that is damaged, InputError for one that holds no state."""
    content = read_tensors(path)
    try:
        alike.check_curve(content.get("curve"))
        return content
    except ValueError as error:
        raise _unfit(path, error) from None


def _unfit(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} is not the state of this training ({' '.join(str(error).split())[:100]}); delete it to start from the "
                      "first epoch")
