"""A folder of images: train/<class>/* and test/<class>/*, or class folders alone, a fifth of each of which is then for the test."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sparsify.data import images
from sparsify.data.examples import Single, Source, Unreadable
from sparsify.settings import InputError

NAME = "folder"  # as `data.name`


class Files(Single):
    """Image files and their labels. advice: what to do where they are not alike"""

    def __init__(self, folder: Path, files: list[tuple[Path, int]], prepare: images.Prepare, advice: str):
        self._folder, self._prepare, self._advice = folder, prepare, advice
        self._names = np.array([os.fsencode(path.relative_to(folder)) for path, _ in files])  # one array: workers share its memory
        self.labels = torch.tensor([label for _, label in files])

    def __len__(self) -> int:
        return len(self._names)

    def _path(self, number: int) -> Path:
        return self._folder / os.fsdecode(self._names[number])

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        try:
            return images.read(self._path(number), self._prepare), int(self.labels[number])
        except ValueError as error:
            raise Unreadable(f"{self._path(number)} ({error})") from None

    def unlike(self, number: int, came: str, expected: str) -> str:
        return f"{self._path(number)} is {came}; the images before it are {expected}; all have to be alike: {self._advice}"


def read(folder: Path, size: int | None = None, channels: int | None = None) -> Source:
    """size, channels: what becomes of the images (images.Prepare). Raises InputError."""
    if not folder.is_dir():
        raise InputError(f"data.path is {folder}, which {'is a file' if folder.is_file() else 'does not exist'}; name a folder that holds "
                         "train/<class>/ and test/<class>/, or one folder a class")
    found = _folders(folder)
    parts = [name for name in ("train", "test") if name in found and not any(_images(folder / name))]
    prepare, advice = images.Prepare(size, channels), "set data.size and data.channels, or mend it"
    if len(parts) == 2:
        return parted(folder, prepare, advice)
    if parts and any(_folders(folder / parts[0])):
        other = "test" if parts == ["train"] else "train"
        raise InputError(f"{folder} holds {parts[0]}/ and no {other}/ with a folder a class; add it, or name {folder / parts[0]} itself")
    return Source(_files(folder, found, found, prepare, advice), None, tuple(found))


def parted(folder: Path, prepare: images.Prepare, advice: str) -> Source:
    """From train/ and test/."""
    train, test = (_folders(folder / part) for part in ("train", "test"))
    if alone := [name for name in test if name not in train]:
        raise InputError(f"{folder} has the classes {', '.join(alone)} in test/ alone; the classes in train/ are "
                         f"{', '.join(train) or 'none'}")
    return Source(_files(folder / "train", train, train, prepare, advice), _files(folder / "test", test, train, prepare, advice),
                  tuple(train))


def _files(folder: Path, present: list[str], classes: list[str], prepare: images.Prepare, advice: str) -> Files:
    files: list[tuple[Path, int]] = []
    for name in present:
        label, before = classes.index(name), len(files)
        files += [(path, label) for path in _images(folder / name)]
        if len(files) == before:
            raise InputError(f"{folder / name} holds no images; every class folder needs files that end in {', '.join(images.SUFFIXES)}")
    if not files:
        raise InputError(f"{folder} holds no images; it needs one folder a class, with files that end in {', '.join(images.SUFFIXES)}")
    if len(classes) < 2:
        raise InputError(f"{folder} has one class, {classes[0]}; two or more are needed")
    return Files(folder, files, prepare, advice)


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith((".", "__")))


def _images(folder: Path) -> Iterator[Path]:
    # A link that leads nowhere is an image that cannot be read, not one that is not there.
    for name in sorted(entry.name for entry in os.scandir(folder) if entry.is_file() or (entry.is_symlink() and not entry.is_dir())):
        if name.lower().endswith(images.SUFFIXES) and not name.startswith("."):
            yield folder / name
