"""A data set that a Python function returns: (train, test), each a torch Dataset of (input, label), or a pair (inputs, labels).

Inputs are images, (C, H, W) of bytes or floats each or Pillow's, or rows of numbers (F,); a pair has tensors, arrays or what pandas has."""

import importlib
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import IterableDataset, TensorDataset

from sparsify.data import images
from sparsify.data.examples import Examples, Raw, Single, Source
from sparsify.settings import InputError

_WANTED = "it has to return (train, test), each a torch.utils.data.Dataset of (input, label), or a pair (inputs, labels)"


class Items(Single):
    """What a Dataset holds, checked one by one. where: how an error calls it"""

    def __init__(self, dataset: TorchDataset[Any], prepare: images.Prepare, where: str):
        self._dataset, self._prepare, self._where = dataset, prepare, where

    def __len__(self) -> int:
        return len(self._dataset)  # type: ignore[arg-type]

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        where = f"example {number} of {self._where}"
        try:
            item = self._dataset[number]
        except (Exception, SystemExit) as error:  # whatever their code raises
            raise InputError(f"{where} cannot be had: {_told(error)}") from None
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise InputError(f"{where} is {_came(item)}; it has to be (input, label)")
        [label] = _labels([item[1]], where, 1).tolist()
        if label < 0:
            raise InputError(f"{where} has the label {label}; labels have to be whole numbers from 0 on")
        return self._input(item[0], where), label

    def _input(self, value: Any, where: str) -> Tensor:
        if not hasattr(value, "convert"):  # not one of Pillow's
            value = _inputs(_array(value, where)[0][None], where)[0]
            if self._prepare == images.Prepare():
                return value
            _check_images(value, where)
        try:
            return self._prepare(value if isinstance(value, Tensor) else images.plain(value))
        except Exception as error:  # a damaged file, or channels that torchvision does not know
            raise InputError(f"{where} cannot be made into an image: {_told(error)}") from None

    def unlike(self, number: int, came: str, expected: str) -> str:
        return f"example {number} of {self._where} is {came}; others are {expected}; all have to be alike: images become so by data.size"


def read(name: str, path: Path, size: int | None = None, channels: int | None = None) -> Source:
    """What `name`, package.module:function, returns. It is called with `path` if it has a parameter of that name. Raises InputError."""
    function = _function(name)
    try:
        takes_path = "path" in inspect.signature(function).parameters
        returned = function(path=path) if takes_path else function()
    except (Exception, SystemExit) as error:  # whatever their code raises
        raise InputError(f"{name} did not return: {_told(error)}") from None
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise InputError(f"{name} returned {_came(returned)}; {_WANTED}")
    prepare = images.Prepare(size, channels)
    train, test = (_part(part, prepare, f"{which} of {name}") for part, which in zip(returned, ("train", "test"), strict=True))
    classes = getattr(returned[0], "classes", ())
    return Source(train, test, tuple(map(str, classes)) if isinstance(classes, tuple | list) else ())


def _function(name: str) -> Any:
    module, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # a module may raise anything, and leave
        raise InputError(f"data.name is {name!r}; {module or 'it'} cannot be imported from here ({_told(error)})") from None
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise InputError(f"data.name is {name!r}; {module} has no {attribute or 'function of no name'}")
        found = getattr(found, part)
    if not callable(found):
        raise InputError(f"data.name is {name!r}, which is {_came(found)}; it has to be a function")
    return found


def _part(part: Any, prepare: images.Prepare, where: str) -> Examples:
    if isinstance(part, TorchDataset) and not isinstance(part, IterableDataset) and hasattr(part, "__len__"):
        try:
            len(part)
        except Exception as error:  # whatever their code raises
            raise InputError(f"{where} does not tell its length: {_told(error)}") from None
        return Items(part, prepare, where)
    if not isinstance(part, tuple | list) or len(part) != 2:
        raise InputError(f"{where} is {_came(part)}; it has to be a torch.utils.data.Dataset with a length, or a pair (inputs, labels)")
    values, columns = _array(part[0], where)
    inputs = _inputs(values, where, columns)
    labels = _labels(part[1], where, len(inputs))
    if prepare == images.Prepare():
        return Raw(inputs, labels)
    _check_images(inputs[0], where)
    return Items(TensorDataset(inputs, labels), prepare, where)


def _check_images(example: Tensor, where: str) -> None:
    if example.ndim != 3:
        raise InputError(f"data.size and data.channels are for images, and {where} has rows of {len(example)} numbers; leave them empty")


def _array(value: Any, where: str) -> tuple[Any, list[str]]:
    """An array of numpy, and the names of its columns if it has some. Raises InputError."""
    try:
        if isinstance(value, Tensor):
            value = value.detach().cpu()
            return (value.float() if value.dtype == torch.bfloat16 else value).numpy(), []  # which numpy does not have
        if hasattr(value, "to_numpy"):  # of pandas
            return value.to_numpy(), [f"{column}" for column in getattr(value, "columns", ())]
        return np.asarray(value), []
    except (TypeError, ValueError, RuntimeError) as error:  # rows of unlike lengths, sparse tensors
        raise InputError(f"{where} has {_came(value)} that is no array of numbers: {_told(error)}") from None


def _inputs(values: Any, where: str, columns: list[str] | None = None) -> Tensor:
    """(N, C, H, W) or (N, F), bytes or float32. Raises InputError."""
    if values.ndim not in (2, 4) or 0 in values.shape[1:]:
        raise InputError(f"{where} has inputs of shape {values.shape}; images have (N, channels, height, width), rows of numbers "
                         "(N, features)")
    if values.ndim == 4 and values.shape[3] in (1, 3) and values.shape[1] not in (1, 3):
        raise InputError(f"{where} has images of shape {values.shape[1:]}; the channels have to come first, as transpose(0, 3, 1, 2) "
                         "puts them")
    if values.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(values))
    try:
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is named below
            if values.dtype.kind not in "biufO":
                raise TypeError("text, times and complex numbers are none")
            numbers = np.ascontiguousarray(values.astype(np.float32))
    except (TypeError, ValueError) as error:
        raise InputError(f"{where} has inputs of {values.dtype} that are not all numbers ({_told(error)})") from None
    finite = np.isfinite(numbers)
    if not finite.all():
        place = tuple(np.argwhere(~finite)[0].tolist())
        row, column = place[:2]
        name = f"column {columns[column]!r}" if columns else f"{'channel' if values.ndim == 4 else 'column'} {column}"
        raise InputError(f"{where} has {values[place]} in row {row}, {name}; only finite numbers of float32 can be learnt from: "
                         "fill it in, or leave the row out")
    return torch.from_numpy(numbers)


def _labels(value: Any, where: str, n: int) -> Tensor:
    """(N,) int64. Raises InputError."""
    stacked = isinstance(value, list) and value and isinstance(value[0], Tensor)
    labels, _ = _array(torch.stack(list(value)) if stacked else value, where)
    if labels.shape != (n,):
        raise InputError(f"{where} has labels of shape {labels.shape} for {n} inputs; it needs one whole number for each")
    if labels.dtype.kind not in "iu":
        raise InputError(f"{where} has labels of {labels.dtype}, such as {labels[0]}; they have to be whole numbers, 0 for the first class")
    return torch.from_numpy(labels.astype(np.int64))


def _came(value: Any) -> str:
    if value is None:
        return "None"
    kind = type(value).__name__
    if isinstance(value, tuple | list):
        return f"a {kind} of {len(value)}" + (f" ({', '.join(type(each).__name__ for each in value)})" if 0 < len(value) <= 4 else "")
    shape = getattr(value, "shape", None)
    return f"a {kind} of shape {tuple(shape)}" if isinstance(shape, tuple) else f"a {kind}"


def _told(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
