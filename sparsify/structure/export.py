"""The graph of ATen operations of any network, by torch.export, and one clear line where there is none."""

import linecache
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sparsify.settings import InputError

_TORCH = str(Path(torch.__file__).parent)
Example = Tensor | tuple[Any, ...]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Every module in evaluation, and afterwards as it was."""
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, was in training.items():
            module.training = was


def arguments(example: Example) -> tuple[Any, ...]:
    """What the network is called with. Raises InputError where no tensor is among it."""
    given = example if isinstance(example, tuple) else (example,)
    if not any(isinstance(each, Tensor) for each in given):
        raise InputError(f"example is {type(example).__name__}; it has to be a tensor, or a tuple with one, as the network is called with")
    return given


def few(given: tuple[Any, ...], count: int = 2) -> tuple[Any, ...]:
    """The first `count` examples of a batch, as the analysis needs no more; all of it where the tensors' first sizes differ."""
    sizes = {each.shape[0] if each.ndim else 0 for each in given if isinstance(each, Tensor)}
    if len(sizes) != 1 or sizes.pop() <= count:
        return given
    return tuple(each[:count] if isinstance(each, Tensor) else each for each in given)


def export(model: nn.Module, example: Example) -> tuple[torch.export.ExportedProgram, tuple[Any, ...]]:
    """The network in evaluation as a graph, and what it was called with. Raises InputError, which names the line, where there is none."""
    given = arguments(example)
    tries = [few(given), given] if few(given) is not given else [given]
    with evaluating(model), torch.no_grad():
        for attempt in tries:
            try:
                return torch.export.export(model, attempt, strict=False), attempt
            except Exception as error:  # export raises whatever the network and a dozen of its own parts raise
                failure = error
    raise InputError(_message(model, failure)) from failure


def _message(model: nn.Module, error: Exception) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if not frame.filename.startswith((_TORCH, str(Path(__file__).parent))) and Path(frame.filename).exists()]
    said = " ".join(str(error).split())[:200]
    name = type(model).__name__
    if any(mark in said or mark in type(error).__name__ for mark in ("data-dependent", "DataDependent", "Unbacked")):
        cause = "decides by what the data are"
    else:
        cause = f"fails ({type(error).__name__}: {said})"
    if not frames:
        return f"{name} cannot be followed: it {cause}; check that it runs with the example that was given"
    frame = frames[-1]
    line = (frame.line or linecache.getline(frame.filename, frame.lineno or 0)).strip()
    return (f"{name} cannot be followed: line {frame.lineno} of {Path(frame.filename).name}, `{line}`, {cause}; "
            "every example has to take the same path through the network")
