"""The Bayesian twin as a file that train_bayesian hands to prune."""

import warnings
from dataclasses import asdict
from pathlib import Path

from torch import Tensor, nn

from sparsify import tensorfile
from sparsify.bayes.convert import bayesianize
from sparsify.bayes.priors import PriorSettings
from sparsify.compress import store
from sparsify.models import Architecture
from sparsify.settings import build
from sparsify.structure import Structure
from stages import networks, runtime

_HEADER = {"class": str, "architecture": dict, "prior": dict, "inputs": bool}


def make(dense: nn.Module, example: Tensor, prior: PriorSettings, inputs: bool,
         structure: Structure | None = None) -> tuple[nn.Module, list[str]]:
    """The twin of `dense`, and a line for each thing that its prior cannot act on.  structure: of `dense`, if that is known"""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        twin = bayesianize(dense, example, prior, inputs=inputs, structure=structure)
    return twin, [str(each.message) for each in caught]


def save(path: Path, twin: nn.Module, architecture: Architecture, prior: PriorSettings, inputs: bool) -> None:
    """Its tensors, and all that makes it anew. architecture: of the plain network; inputs: whether its input features have gates."""
    header = {"class": "Bayesian twin", "architecture": architecture.as_data(), "prior": asdict(prior), "inputs": inputs}
    tensorfile.write(path, header, twin.state_dict())


def load(path: Path, example: Tensor, architecture: Architecture,
         structure: Structure | None = None) -> nn.Module:
    """The twin that `save` wrote, on the device, in evaluation. example: what it is called with, on the device. architecture,
    structure: of the plain network. Raises FileError for a twin of another."""
    content, tensors = tensorfile.read(path)
    networks.same(path, store.checked(path, content, _HEADER), architecture)
    dense = architecture.build()
    prior = build(PriorSettings, content["prior"], f"{path}: prior")
    twin, _ = make(dense.to(runtime.device()), example, prior, content["inputs"], structure)
    store.load_state(path, twin, tensors, content, dense)
    return twin.eval()
