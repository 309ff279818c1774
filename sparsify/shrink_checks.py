"""What `shrink` is given: whether it can be used, and by what a kept state knows its call again."""

import copy
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from sparsify import artifacts
from sparsify.bayes.variational import VariationalSettings
from sparsify.compress.recovery import RecoverySettings
from sparsify.data import Split
from sparsify.settings import Check, InputError, quoted
from sparsify.structure.export import refuse_unready
from sparsify.task import Task, telling

_NETWORK = Check("a torch.nn.Module that was trained", lambda value: isinstance(value, nn.Module))
_ALLOWED = {
    "model": _NETWORK,
    "teacher": _NETWORK,
    "bayesian": Check("sparsify.VariationalSettings", lambda value: isinstance(value, VariationalSettings)),
    "recovery": Check("sparsify.RecoverySettings", lambda value: isinstance(value, RecoverySettings)),
    "loss": Check("a function of outputs and targets, as torch.nn.functional.mse_loss", callable),
    "metric": Check("a function of outputs and targets, whose number grows as the network gets better", callable),
    "protect": Check("a list of names, as in ['features.0']", lambda value: isinstance(value, Collection) and not isinstance(value, str)
                     and all(isinstance(each, str) for each in value)),
    "state": Check("a folder, which need not exist", lambda value: isinstance(value, str | Path) and str(value) != ""),
}
_NEEDED = ("model", "protect")  # None stands for the others
# What functions, their code and closures, functools.partial, methods and objects hold. Of `__wrapped__` and the like: all of `__dict__`.
_HOLD = ("co_code", "co_names", "co_consts", "__code__", "__defaults__", "__kwdefaults__", "__closure__", "cell_contents", "func", "args",
         "keywords", "__func__", "__self__", "__dict__")


def check_kinds(**given: Any) -> None:
    """Raises InputError for what is of another kind than `shrink` takes under that name."""
    for name, value in given.items():
        if not (value is None and name not in _NEEDED) and not _ALLOWED[name].test(value):
            raise InputError(f"{name} is {quoted(value)}; it has to be {_ALLOWED[name].of(value)}")


def usable(device: str | torch.device | None) -> torch.device:
    """A GPU if there is one and nothing else is given. Raises InputError for what no tensor can be read from."""
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device is None else device
    with telling(f"device is {quoted(chosen)}, which cannot be used", 'give "cpu", or "cuda" where there is a GPU'):
        torch.ones((), device=torch.device(chosen)).item()
        return torch.device(chosen)


def copied(network: nn.Module, name: str, device: torch.device) -> nn.Module:
    """In evaluation. Raises InputError where there can be no copy."""
    refuse_unready(network)
    with telling(f"{name} cannot be copied to {device}", "let copy.deepcopy work on it"):
        return copy.deepcopy(network).to(device).eval()


def check_writable(state: str | Path | None) -> None:
    """Raises InputError for a folder in which nothing can be written; makes it where it is not there."""
    if state is not None and not Path(state).is_file():  # which is told as such
        with telling(f"state is {quoted(str(state))}, where nothing can be written", "give another folder"):
            Path(state).mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=state).close()


def described(task: Task) -> str:
    """The examples: by their bytes where they lie in memory, else by how many they are and their shape."""
    return ", ".join(artifacts.tensors_checksum({"inputs": part[:], "targets": part.labels}) if isinstance(part, Split)
                     else f"{len(part)} of {part.shape}" for part in (task.train, task.validation))


def known(function: Any) -> str:
    """By which a loss or a metric is known again in another process."""
    return artifacts.checksum(repr(_parts(function)).encode()).hexdigest()


def _parts(value: Any, deep: int = 4) -> Any:
    """Its name, its bytecode, and the values that it holds; objects within objects to `deep`, for they may hold one another."""
    if isinstance(value, Tensor):
        return artifacts.tensors_checksum({"": value})
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if isinstance(value, Mapping):
        value = tuple(value.items())
    if isinstance(value, list | tuple):
        return [_parts(each, deep) for each in value]
    name = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    if not deep or isinstance(value, type | ModuleType):
        return name
    called = getattr(type(value), "forward" if isinstance(value, nn.Module) else "__call__", None)
    return [name, *(_parts(each, deep - 1) for each in (called, *(getattr(value, part, None) for part in _HOLD)))]
