"""The plain networks that stages hand to one another: which one params.yaml asks for, and how it is loaded."""

from pathlib import Path

from torch import Tensor, nn

from sparsify.artifacts import FileError
from sparsify.compress import store
from sparsify.data import Dataset
from sparsify.models import Architecture
from stages import runtime
from stages.params import Params


def architecture(params: Params, dataset: Dataset) -> Architecture:
    return Architecture(params.model.name, dataset.input_shape, dataset.n_classes, params.model.width)


def example(dataset: Dataset) -> Tensor:
    """What a network is called with, for its analysis.  (2, C, H, W) or (2, F)"""
    return dataset.train[:2]


def load(path: Path, expected: Architecture | None = None) -> nn.Module:
    """A network that a stage wrote, on the device, in evaluation. Raises FileError if it was cut from another one than `expected`."""
    content = store.contents(path, ("architecture", "class"))
    found = store.architecture_of(path, content)
    if expected is not None and found != expected:
        raise FileError(f"{path} holds another architecture ({_said(found)}) than is asked for ({_said(expected)})")
    return store.load(path).to(runtime.device())


def _said(network: Architecture) -> str:
    shape = "x".join(map(str, network.input_shape))
    return f"{network.name} of width {network.width:g} for inputs of {shape} in {network.n_classes} classes"
