"""What `shrink` keeps in the folder of `state=`: where each training's state lies, and by what its call is known again."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from sparsify import artifacts
from sparsify.data import Split
from sparsify.settings import InputError, quoted
from sparsify.task import Task, telling

# What functions, their code and closures, functools.partial, methods and objects hold. Of `__wrapped__` and the like: all of `__dict__`.
_HOLD = ("co_code", "co_names", "co_consts", "__code__", "__defaults__", "__kwdefaults__", "__closure__", "cell_contents", "func", "args",
         "keywords", "__func__", "__self__", "__dict__")


class Files:
    """Where trainings keep their state, if anywhere, and what call they belong to."""

    def __init__(self, folder: str | Path | None, call: dict[str, str]):
        """Raises InputError for a folder of another call."""
        self._folder = None if folder is None else Path(folder)
        if self._folder is None:
            return
        if self._folder.is_file():
            raise InputError(f"state is {folder}, a file; it has to be a folder, which need not exist")
        about = self._folder / "call.json"
        try:
            before = json.loads(about.read_text())
        except FileNotFoundError:
            before = None
        except (OSError, ValueError):
            raise InputError(f"{about} cannot be read; delete {folder}, and all begins anew") from None
        begun = self._folder.is_dir() and any(path != about for path in self._folder.iterdir())  # else that call was refused
        if begun and before not in (None, call):
            differs = [key for key in call if not isinstance(before, dict) or before.get(key) != call[key]]
            raise InputError(f"state is {folder}, which is of another call: {', '.join(differs)} differ; give another folder, or delete it")
        artifacts.write_json(about, call)

    def path(self, name: str) -> Path | None:
        return None if self._folder is None else self._folder / f"{name}.pt"


def digest(network: nn.Module) -> str:
    kinds = " ".join(type(each).__qualname__ for each in network.modules())  # ReLU and Tanh have the same tensors: none
    return artifacts.tensors_checksum(network.state_dict(), kinds.encode())


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
