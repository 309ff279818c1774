"""The plain networks that stages hand to one another: which one params.yaml asks for, and how it is loaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sparsify import models
from sparsify.artifacts import FileError
from sparsify.compress import store
from sparsify.data import Dataset, memory
from sparsify.models import Architecture
from sparsify.settings import InputError
from stages import runtime
from stages.params import Params


def architecture(params: Params, dataset: Dataset) -> Architecture:
    """Raises InputError for a network that the memory cannot hold with its gradients and the two moments of each weight."""
    found = Architecture(params.model.name, dataset.input_shape, dataset.n_classes, params.model.width)
    if found.name in models.NAMES and found.width > 1:
        with torch.device("meta"):  # on which numbers take no room
            needed = 4 * sum(tensor.numel() * tensor.element_size() for tensor in found.build().parameters())
        if needed > (free := memory.free(runtime.device())):
            raise InputError(f"model.width is {found.width:g}, with which {found.name} takes {needed / 1e9:.3g} GB in training; "
                             f"{free / 1e9:.3g} are free: lower it")
    return found


def example(dataset: Dataset) -> Tensor:
    """What a network is called with, for its analysis.  (2, C, H, W) or (2, F)"""
    return dataset.train[:2]


def description(dataset: Dataset) -> dict[str, Any]:
    """What a network of this data set is to be given, as its file says it."""
    scaling = dataset.scaling
    normalised = {"mean": scaling.mean.tolist(), "std": scaling.std.tolist(), "unit": scaling.unit} if scaling else {}
    return {**normalised, "input_shape": list(dataset.input_shape), "classes": list(dataset.classes)}


def provenance(params: Params) -> dict[str, Any]:
    """What a network came from, as its file says it."""
    return {"seed": params.seed, "recipe": params.recipe_name}


def load(path: Path, expected: Architecture) -> nn.Module:
    """A network that a stage wrote, on the device, in evaluation. expected: what params.yaml asks for, which alone decides what code is
    imported. Raises FileError if the file holds a network that was cut from another one."""
    same(path, store.header(path), expected)
    return store.load(path, expected.build()).to(runtime.device())


def same(path: Path, header: Mapping[str, Any], expected: Architecture) -> None:
    """Raises FileError if the network in `path` was cut from another one than `expected`."""
    found = store.architecture_of(path, header)
    if found != expected:
        raise FileError(f"{path} holds another architecture ({_said(found) if found else 'unknown'}) than is asked for ({_said(expected)})")


def _said(network: Architecture) -> str:
    shape = "x".join(map(str, network.input_shape))
    return f"{network.name} of width {network.width:g} for inputs of {shape} in {network.n_classes} classes"
