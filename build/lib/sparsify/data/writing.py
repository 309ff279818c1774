"""From examples as they come to the folder that the stages share: read once, straight into its files, checked and split."""

import math
import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sparsify.data import examples as reading
from sparsify.data.examples import Examples, described
from sparsify.data.splits import Scaling
from sparsify.data.storage import CHUNK_BYTES, INPUTS, LABELS, chunks, new_folder, write_about
from sparsify.settings import InputError

TEST_SHARE = 5  # one example in so many of each class is for the test, where none are named


def save(path: Path, train: Examples, test: Examples | None, n_validation: int, seed: int, classes: tuple[str, ...] = (),
         skip_unreadable: bool = False) -> None:
    """Splits `n_validation` examples off `train` at random, and a fifth of each class before that where `test` is None.

    Colour images are normalised a channel to mean 0 and deviation 1, rows of numbers a feature. Grey images are only scaled: their
    background stays exactly zero, so that a pixel that is always dark carries nothing and can leave the network. Raises InputError.

    classes: their names in the order of the labels; numbers if not given. skip_unreadable: leaves out what cannot be read."""
    with new_folder(path) as folder:
        labels, learning, testing = _inputs(folder / INPUTS, train, test, skip_unreadable)
        inputs = np.load(folder / INPUTS, mmap_mode="r")
        names = _checked(labels[learning], labels[testing], classes)
        if test is None:
            learning, testing = _stratified(labels, learning, len(names), seed)
        if not 1 <= n_validation < len(learning):
            raise InputError(f"data.validation is {n_validation}; it has to be from 1 to {len(learning) - 1}, as there are "
                             f"{len(learning)} {'images' if inputs.ndim == 4 else 'rows'} to train on")
        order = learning[torch.randperm(len(learning), generator=torch.Generator().manual_seed(seed))]
        parts = {"validation": order[:n_validation], "train": order[n_validation:], "test": testing}
        np.save(folder / LABELS, labels.numpy())
        for part, rows in parts.items():
            np.save(folder / f"{part}.npy", rows.numpy())
        write_about(folder, names, _scaling(inputs, parts["train"].sort().values))


def _inputs(path: Path, train: Examples, test: Examples | None, skip: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Writes all inputs. -> (N,) labels, and the rows to learn from and to test on: of those that can be read"""
    sizes = [len(part.inputs) if isinstance(part, reading.Raw) else len(part) for part in (train, test) if part is not None]
    if 0 in sizes:
        raise InputError(f"there are no examples {'to train on' if sizes[0] == 0 else 'to test on'}")
    like = reading.like(train)
    np.lib.format.open_memmap(path, "w+", dtype=str(like.dtype).removeprefix("torch."), shape=(sum(sizes), *like.shape)).flush()
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)  # else a disk that is full ends the process, by SIGBUS, at a later write
    labels, unreadable, first = [], [], 0
    for part, examples in (("train", train), ("test", test)):
        if examples is None:
            continue
        if isinstance(examples, reading.Raw) and (came := described(examples.inputs[0])) != described(like):
            raise InputError(f"the test inputs are {came}, the training inputs {described(like)}; all have to be alike")
        found, lines = reading.copy(examples, path, first, f"reading {part}" if test is not None else "reading")
        labels.append(found)
        unreadable += lines
        first += len(found)
    if line := reading.check_readable(unreadable, first, skip):
        tqdm.write(line, file=sys.stderr)
    whole = torch.cat(labels)
    rows = (whole >= 0).nonzero()[:, 0] if unreadable else torch.arange(first)
    return whole, rows[rows < sizes[0]], rows[rows >= sizes[0]]


def _checked(train: Tensor, test: Tensor, classes: tuple[str, ...]) -> tuple[str, ...]:
    """The names of all classes. Raises InputError for labels that cannot be learnt."""
    for part, labels in (("training", train), ("test", test)):
        if len(labels) and labels.min() < 0:
            raise InputError(f"a label of the {part} set is {int(labels.min())}; labels have to be whole numbers from 0 on")
    if not len(train):
        raise InputError("there are no examples to train on")
    n = len(classes) or int(train.max()) + 1
    if not classes and n > len(train):  # before as many names are made
        raise InputError(f"the training set has the label {n - 1}, and only {len(train)} examples; labels count the classes, from 0 on")
    names = classes or tuple(str(label) for label in range(n))
    if len(test) and (most := int(test.max())) >= n:
        raise InputError(f"the test set has the label {most}, the training set {n} classes, 0 to {n - 1}; it has to have all of them")
    counts = train.bincount(minlength=n)
    if len(counts) > n:
        raise InputError(f"the training set has the label {len(counts) - 1}, and there are {n} classes: {', '.join(names[:10])}")
    if n < 2:
        raise InputError(f"there is one class, {names[0]}; two or more are needed")
    if few := [(names[label], int(count)) for label, count in enumerate(counts) if count < 2][:reading.NAMED]:
        told = ", ".join(f"{name} ({count})" for name, count in few)
        raise InputError(f"classes with fewer than two examples to learn from: {told}; add some, or leave the class out")
    return names


def _stratified(labels: Tensor, rows: Tensor, n_classes: int, seed: int) -> tuple[Tensor, Tensor]:
    """`rows` to learn from, and to test on: a fifth of each class, at least one."""
    generator, held = torch.Generator().manual_seed(seed), torch.zeros(len(labels), dtype=torch.bool)
    for label in range(n_classes):
        own = rows[labels[rows] == label]
        held[own[torch.randperm(len(own), generator=generator)[:max(1, len(own) // TEST_SHARE)]]] = True
    return rows[~held[rows]], rows[held[rows]]


def _scaling(inputs: Any, rows: Tensor) -> Scaling:
    """Of the training inputs alone."""
    byte, image = inputs.dtype == np.uint8, inputs.ndim == 4
    mean, variance = (_of_bytes if byte else _of_numbers)(inputs, rows, grey=image and inputs.shape[1] == 1)
    std = variance.sqrt()
    constant = (std <= 1e-7 * mean.abs()).nonzero()[:, 0].tolist()  # nothing that float32 could tell apart
    if constant and (image or len(constant) == len(std)):
        raise InputError(f"the training {'images have a channel' if image else 'rows have nothing'} that is "
                         f"{'the same everywhere' if image else 'not the same everywhere'}; there is nothing to learn from it")
    if constant:
        tqdm.write(f"{len(constant)} of {len(std)} features are the same in all training rows, and become zero: "
                   f"columns {', '.join(map(str, constant[:reading.NAMED]))}{', ...' if len(constant) > reading.NAMED else ''}",
                   file=sys.stderr)
        std[constant] = 1
    return Scaling(mean.float(), std.float(), 255.0 if byte else 1.0)


def _pieces(inputs: Any, rows: Tensor, times: int) -> Iterator[Tensor]:
    """The values of `rows`, as many at a time as take CHUNK_BYTES when each becomes `times` as large.  -> (C, n) each"""
    for chunk in chunks(rows, times * inputs[:1].nbytes):
        values = torch.from_numpy(np.asarray(inputs[chunk.numpy()])).transpose(0, 1).flatten(1)
        most = max(1, CHUNK_BYTES // (times * len(values) * values.element_size()))
        yield from values.split(max(most, values.shape[1] if len(chunk) > 1 else 0), 1)  # one example may be more than that by itself


def _of_bytes(inputs: Any, rows: Tensor, grey: bool) -> tuple[Tensor, Tensor]:
    """Mean and variance by channel or feature of x / 255, exact: from how often each byte comes. grey: about 0.  (C,), (C,) float64"""
    counts = torch.zeros(inputs.shape[1] * 256, dtype=torch.long)
    offsets = 256 * torch.arange(inputs.shape[1])[:, None]
    for values in _pieces(inputs, rows, 16):  # counting takes 8 bytes a pixel, twice
        counts += (values + offsets).flatten().bincount(minlength=len(counts))
    means, variances = [], []
    for channel in counts.view(-1, 256).tolist():
        total = sum(channel)
        mean = Fraction(0) if grey else Fraction(sum(value * count for value, count in enumerate(channel)), 255 * total)
        square = Fraction(sum(value * value * count for value, count in enumerate(channel)), 255 * 255 * total)
        means.append(float(mean))
        variances.append(float(square - mean * mean))
    return torch.tensor(means, dtype=torch.float64), torch.tensor(variances, dtype=torch.float64)


def _of_numbers(inputs: Any, rows: Tensor, grey: bool) -> tuple[Tensor, Tensor]:
    """The same of x itself."""
    def average(term: Any) -> Tensor:
        sums, n = torch.zeros(inputs.shape[1], dtype=torch.float64), len(rows) * math.prod(inputs.shape[2:])
        for values in _pieces(inputs, rows, 4):
            sums += term(values.double()).sum(1)
        return sums / n
    mean = torch.zeros(inputs.shape[1], dtype=torch.float64) if grey else average(lambda values: values)
    return mean, average(lambda values: (values - mean[:, None]).square())
