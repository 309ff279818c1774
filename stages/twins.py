"""The Bayesian twin as a file that train_bayesian hands to prune."""

from dataclasses import asdict
from pathlib import Path

from torch import Tensor, nn

from sparsify import tensorfile
from sparsify.bayes.convert import bayesianize
from sparsify.bayes.priors import PriorSettings
from sparsify.compress import store
from sparsify.models import Architecture
from sparsify.settings import build
from stages import networks, runtime

_HEADER = {"class": str, "architecture": dict, "prior": dict, "inputs": bool}


def save(path: Path, twin: nn.Module, architecture: Architecture, prior: PriorSettings, inputs: bool) -> None:
    """Its tensors, and all that makes it anew. architecture: of the plain network; inputs: whether its input features have gates."""
    header = {"class": "Bayesian twin", "architecture": architecture.as_data(), "prior": asdict(prior), "inputs": inputs}
    tensorfile.write(path, header, twin.state_dict())


def load(path: Path, example: Tensor, architecture: Architecture) -> nn.Module:
    """The twin that `save` wrote, on the device, in evaluation. example: what it is called with, on the device. architecture: of the
    plain network. Raises FileError for a twin of another."""
    content, tensors = tensorfile.read(path)
    networks.same(path, store.checked(path, content, _HEADER), architecture)
    dense = architecture.build()
    prior = build(PriorSettings, content["prior"], f"{path}: prior")
    twin = bayesianize(dense.to(runtime.device()), example, prior, inputs=content["inputs"])
    store.load_state(path, twin, tensors, content, dense)
    return twin.eval()
