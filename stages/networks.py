"""The plain networks that stages hand to one another: which one params.yaml asks for, and how it is loaded."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sparsify.artifacts import FileError, read_tensors
from sparsify.compress import store
from sparsify.data import Dataset
from sparsify.models import Architecture
from stages import runtime
from stages.params import Params


def architecture(params: Params, dataset: Dataset) -> Architecture:
    return Architecture(params.model.name, dataset.input_shape, dataset.n_classes, params.model.width)


def example(dataset: Dataset) -> Tensor:
    """What a network is called with, for its analysis.  (2, C, H, W)"""
    return dataset.train.images[:2]


def description(dataset: Dataset) -> dict[str, Any]:
    """What a network of this data set is to be given, as its file says it."""
    content = read_tensors(runtime.DATASET)
    return {"mean": content["mean"].tolist(), "std": content["std"].tolist(), "input_shape": list(dataset.input_shape),
            "classes": [str(label) for label in range(dataset.n_classes)]}


def scaling(dataset: Dataset) -> tuple[Tensor, Tensor, float]:
    """Mean and deviation by channel or feature, and the unit that stored inputs are divided by before them."""
    content = read_tensors(runtime.DATASET)
    return content["mean"], content["std"], 255.0


def batches(dataset: Dataset, part: str, stored: bool, count: int | None = None, size: int = 1000) -> Iterator[Tensor]:
    """The inputs of a part of the data set, on the CPU; the first `count` of them if that is given. stored: as they are stored, else
    normalised."""
    inputs = read_tensors(runtime.DATASET)[f"{part}_images"] if stored else getattr(dataset, part).images
    yield from inputs[:count].cpu().split(size)


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
    channels, height, width = network.input_shape
    return f"{network.name} of width {network.width:g} for {channels}x{height}x{width} images of {network.n_classes} classes"
