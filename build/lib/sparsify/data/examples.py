"""What a data set comes as, before it is stored: arrays, or examples that are read one by one, into a file, over all cores."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from tqdm import tqdm

from sparsify.data.mapped import cores
from sparsify.settings import InputError, one_line

NAMED = 10  # of what is wrong, as many are named


class Raw(NamedTuple):
    """Inputs (N, C, H, W) or (N, F), uint8 or float32, and labels (N,) int64, as they came."""

    inputs: Tensor
    labels: Tensor


class Unreadable(Exception):
    """One example cannot be read; it may be left out."""


class Single(Protocol):
    """Examples that are read one by one."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        """An input, uint8 or float32, and its label. Raises Unreadable, or InputError for what cannot be left out."""

    def unlike(self, number: int, came: str, expected: str) -> str:
        """The error of an example whose input has another shape or type than those before it."""


Examples = Raw | Single


class Source(NamedTuple):
    """A data set as it comes. test: None where it has to be split off. classes: names; of those that no label is told for, none."""

    train: Examples
    test: Examples | None
    classes: tuple[str, ...]


class Outcome(NamedTuple):
    """Of reading one example."""

    number: int
    label: int = -1
    unreadable: str = ""
    wrong: str = ""


class _Copier(TorchDataset[list[Outcome]]):
    """Reads examples straight into their rows of a file, so that no pixel has to pass from a worker to the process that started it."""

    def __init__(self, examples: Single, path: Path, first: int):
        self._examples, self._path, self._first = examples, path, first

    @cached_property
    def _target(self) -> Any:
        return np.load(self._path, mmap_mode="r+")

    def __getitem__(self, numbers: Iterable[int]) -> list[Outcome]:
        return [self._copied(number) for number in numbers]

    def _copied(self, number: int) -> Outcome:
        try:
            value, label = self._examples[number]
        except Unreadable as error:
            return Outcome(number, unreadable=str(error))
        except InputError as error:
            return Outcome(number, wrong=str(error))
        came, expected = value.numpy(), self._target[0]
        if described(came) != described(expected):
            return Outcome(number, wrong=self._examples.unlike(number, described(came), described(expected)))
        self._target[self._first + number] = came
        return Outcome(number, label)


def described(example: Any) -> str:
    """The shape of an input, and its type if that is not bytes."""
    shape, kind = tuple(example.shape), str(example.dtype).removeprefix("torch.")
    said = f"{shape[2]}x{shape[1]} with {shape[0]} channel{'s' * (shape[0] != 1)}" if len(shape) == 3 else f"{shape[0]} numbers"
    return said if kind == "uint8" else f"{said}, {kind}"


def like(examples: Examples) -> Tensor:
    """An input as all of them have to be: the first that can be read. Raises InputError."""
    if isinstance(examples, Raw):
        return examples.inputs[0]
    said = []
    for number in tqdm(range(len(examples)), desc="looking", unit=" examples", disable=None, leave=None, delay=1):
        try:
            return examples[number][0]
        except Unreadable as error:
            said.append(str(error))
    raise InputError(_listed(said, len(examples)))


def copy(examples: Examples, path: Path, first: int, desc: str) -> tuple[Tensor, list[str]]:
    """Writes all inputs into the array in the file `path`, from row `first` on.

    -> (N,) labels, -1 for an example that cannot be read; and a line for each of those. Raises InputError."""
    if isinstance(examples, Raw):
        target = np.load(path, mmap_mode="r+")
        target[first:first + len(examples.inputs)] = examples.inputs.numpy()
        target.flush()
        return examples.labels, []
    n = len(examples)
    workers, size = (cores(), 16) if n > 64 else (0, 1)
    pieces = [range(start, min(start + size, n)) for start in range(0, n, size)]
    labels, unreadable = torch.full((n,), -1), []
    loader = DataLoader(_Copier(examples, path, first), batch_size=None, sampler=pieces, num_workers=workers,
                        collate_fn=_as_they_are, multiprocessing_context="fork" if workers else None, generator=torch.Generator())
    with tqdm(total=n, desc=desc, unit=" examples", disable=None) as progress:
        for outcomes in _whole(loader):
            for outcome in outcomes:
                if outcome.wrong:
                    raise InputError(outcome.wrong)
                labels[outcome.number] = outcome.label
                if outcome.unreadable:
                    unreadable.append(outcome.unreadable)
            progress.update(len(outcomes))
    return labels, unreadable


def _whole(loader: Iterable[list[Outcome]]) -> Iterator[list[Outcome]]:
    """Raises InputError where a process that reads is gone, killed for the memory that it took, say: all that torch has for it is
    a RuntimeError."""
    try:
        yield from loader
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise InputError("a process that reads examples has ended before its time; there may be too little memory or disk space, or code "
                         f"that ends it ({' '.join(str(error).split())[:200]})") from None


def check_readable(unreadable: Sequence[str], n: int, skip: bool) -> str | None:
    """What to say where examples are left out. Raises InputError where they are not, or where none is left."""
    if not unreadable:
        return None
    if not skip or len(unreadable) == n:
        raise InputError(_listed(unreadable, n))
    return one_line(f"{len(unreadable)} of {n} images cannot be read and are left out: {_few(unreadable)}")


def _listed(unreadable: Sequence[str], n: int) -> str:
    advice = "none is left" if len(unreadable) == n else "replace them, remove them, or set data.skip_unreadable to leave them out"
    return f"{len(unreadable)} of {n} images cannot be read: {_few(unreadable)}; {advice}"


def _few(lines: Sequence[str]) -> str:
    return ", ".join(lines[:NAMED]) + (", ..." if len(lines) > NAMED else "")


def _as_they_are(outcomes: list[Outcome]) -> list[Outcome]:
    return outcomes
