"""Networks as files without pickled code: tensors, which entries of the full-size class stayed, and plain data beside them.

A file is loaded into a network of the user's own class at full size, which is cut to what stayed; the built-in ones are made anew."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sparsify import models
from sparsify.artifacts import FileError, read_tensors, write_tensors
from sparsify.compress.cut import Cut, cut_of, sliced
from sparsify.settings import InputError

_KEYS = ("class", "architecture", "keep", "norms", "picks", "state", "about")


def save(network: nn.Module, path: Path | str, *, architecture: models.Architecture | None = None, **about: Any) -> None:
    """Writes a network, small or not: its tensors and what of its full-size class stayed. Never half-written.

    architecture: of a built-in network, which then loads without a class. about: plain data that is kept beside it."""
    cut = cut_of(network)
    write_tensors(Path(path), {
        "class": type(network).__name__, "architecture": None if architecture is None else architecture.as_data(),
        "keep": cut.keep, "norms": cut.norms, "picks": cut.picks,
        "state": {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}, "about": about})


def load(path: Path | str, network: nn.Module | None = None) -> nn.Module:
    """The network in `path`, on the CPU, in evaluation.

    network: one of its class at full size, as it was before the removal, with any weights; it is not changed. A built-in one needs none.
    Raises InputError (FileError for what is wrong with the file) in one line."""
    content = contents(path, _KEYS)
    if network is None:
        network = architecture_of(path, content).build()
    if not isinstance(network, nn.Module):
        raise InputError(f"load is given {network!r}; give it a network at full size: load(path, {content['class']}(...))")
    cut = Cut(content["keep"], content["norms"], content["picks"])
    try:
        small = sliced(network, cut).cpu()
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError):
        raise InputError(_unfit(path, content, network)) from None
    load_state(path, small, content["state"], content, network)
    return small.eval()


def contents(path: Path | str, keys: tuple[str, ...]) -> dict[str, Any]:
    """Raises FileError for a file without these keys."""
    content = read_tensors(Path(path))
    missing = [key for key in keys if key not in content]
    if missing:
        raise FileError(f"{path} is no network of this kind: it lacks {', '.join(missing)}")
    return content


def architecture_of(path: Path | str, content: Mapping[str, Any]) -> models.Architecture:
    if content["architecture"] is None:
        raise InputError(f"{path} holds a {content['class']}; give load one at full size, which it cuts to what stayed: "
                         f"load(path, {content['class']}(...))")
    try:
        return models.Architecture(**content["architecture"])
    except (TypeError, InputError) as error:
        raise FileError(f"{path} describes a network that is not known here ({error})") from None


def load_state(path: Path | str, network: nn.Module, state: Mapping[str, torch.Tensor], content: Mapping[str, Any],
               given: nn.Module) -> None:
    try:
        network.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError):
        raise InputError(_unfit(path, content, given)) from None


def _unfit(path: Path | str, content: Mapping[str, Any], network: nn.Module) -> str:
    widths = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in list(network.state_dict().items())[:2])
    return (f"{path} holds a {content['class']} that does not fit the {type(network).__name__} at hand ({widths}, ...); "
            "it has to be of the same class and size as before the removal")
