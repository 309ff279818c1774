"""The graph of ATen operations of any network, by torch.export, and one clear line where there is none."""

import copy
import io
import linecache
import logging
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sparsify.settings import InputError

_TORCH = str(Path(torch.__file__).parent)
Example = Tensor | tuple[Any, ...]


@contextmanager
def evaluating(model: nn.Module, training: bool = False) -> Iterator[None]:
    """Every module in evaluation (or in training), and afterwards as it was."""
    before = {module: module.training for module in model.modules()}
    model.train(training)
    try:
        yield
    finally:
        for module, was in before.items():
            module.training = was


@contextmanager
def _untouched(model: nn.Module) -> Iterator[None]:
    """Whatever its forward assigns within, activations that it keeps and counts of passes, afterwards as before."""
    before = {module: (dict(vars(module)), dict(module._buffers)) for module in model.modules()}
    try:
        yield
    finally:
        for module, (attributes, buffers) in before.items():
            vars(module).clear()
            vars(module).update(attributes)
            module._buffers.clear()
            module._buffers.update(buffers)


def arguments(example: Example) -> tuple[Any, ...]:
    """What the network is called with. Raises InputError where no tensor with an example in it is among it."""
    given = example if isinstance(example, tuple) else (example,)
    tensors = [each for each in given if isinstance(each, Tensor)]
    if not tensors:
        raise InputError(f"example is a {type(example).__name__}; it has to be what the network takes: a tensor, or a tuple with one")
    for each in tensors:
        if each.numel() == 0:
            raise InputError(f"example has the shape {tuple(each.shape)}, with nothing in it; give at least one example")
    return given


def few(given: tuple[Any, ...], count: int = 2) -> tuple[Any, ...]:
    """The first `count` examples of a batch, as the analysis needs no more; all of it where the tensors' first sizes differ."""
    sizes = {each.shape[0] if each.ndim else 0 for each in given if isinstance(each, Tensor)}
    if len(sizes) != 1 or sizes.pop() <= count:
        return given
    return tuple(each[:count] if isinstance(each, Tensor) else each for each in given)


def export(model: nn.Module, example: Example, training: bool = False) -> tuple[torch.export.ExportedProgram, tuple[Any, ...]]:
    """The network in evaluation as a graph, and what it was called with.

    training: as it is in training, where some have heads of their own. Raises InputError, which names the line in the network's code
    where it cannot be followed."""
    if not isinstance(model, nn.Module):
        raise InputError(f"the network is a {type(model).__name__}; it has to be an nn.Module, made and with its weights")
    given = arguments(example)
    refuse_unready(model)
    tries = [few(given), given] if few(given) is not given else [given]
    with _untouched(model), evaluating(model, training), torch.no_grad(), _quiet():
        for attempt in tries:
            try:
                return torch.export.export(model, attempt, strict=False), attempt
            except Exception as error:  # export raises whatever the network and a dozen of its own parts raise
                failure = error
        raise InputError(_message(model, given, failure)) from failure


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's own report of what is caught here, and its warnings about what a layer of its own does while it is followed."""
    loggers = [logging.getLogger(f"torch.{name}") for name in ("_subclasses.fake_tensor", "fx.experimental.symbolic_shapes")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.filterwarnings("ignore", message=".*(was|were) assigned during export")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def refuse_unready(model: nn.Module) -> None:
    """Raises InputError for a network that cannot be copied, or has tensors without a shape."""
    for path, module in model.named_modules():
        for name, value in (*vars(module).items(), *module._parameters.items()):
            where = f"{path}.{name}".removeprefix(".")
            if isinstance(value, Tensor) and is_lazy(value):
                raise InputError(f"{where} has no shape yet; call the network once with the example, before anything else")
            if isinstance(value, Tensor) and not value.is_leaf:
                raise InputError(f"{where} is computed from parameters, so that the network cannot be copied; "
                                 "make it a parameter again (torch.nn.utils.prune.remove, remove_weight_norm), or use parametrizations; "
                                 "delete it if it is an activation that was kept")


def _message(model: nn.Module, given: tuple[Any, ...], error: Exception) -> str:
    name = type(model).__name__
    try:
        copy.deepcopy(model)(*given)
    except Exception as own:
        came = ", ".join(f"{str(each.dtype).removeprefix('torch.')} {tuple(each.shape)}" for each in given if isinstance(each, Tensor))
        return (f"{name} does not run with the example that was given, {came}: {_line(own)}{type(own).__name__}: {_said(own)}; "
                "give what its forward takes, of its dtype and on its device")
    if any(mark in _said(error) or mark in type(error).__name__ for mark in ("data-dependent", "DataDependent", "Unbacked")):
        return (f"{name} cannot be followed: {_line(error)}it decides by what the data are; "
                "every example has to take the same path through the network")
    return (f"{name} cannot be followed: {_line(error)}torch.export fails ({type(error).__name__}: {_said(error)}); "
            "write that part in operations of torch")


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")


def _line(error: Exception) -> str:
    """Where it happened in the code of whoever wrote the network, if that can be told."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if not frame.filename.startswith((_TORCH, str(Path(__file__).parent))) and Path(frame.filename).exists()]
    if not frames:
        return ""
    frame = frames[-1]
    line = (frame.line or linecache.getline(frame.filename, frame.lineno or 0)).strip()
    return f"line {frame.lineno} of {Path(frame.filename).name}, `{line}`: "
