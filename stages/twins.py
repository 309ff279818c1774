"""The Bayesian twin as a file that train_bayesian hands to prune."""

from dataclasses import asdict
from pathlib import Path

from torch import Tensor, nn

from sparsify.artifacts import write_tensors
from sparsify.bayes.convert import bayesianize
from sparsify.bayes.priors import PriorSettings
from sparsify.compress import store
from sparsify.models import Architecture
from sparsify.settings import build
from stages import runtime


def save(path: Path, twin: nn.Module, architecture: Architecture, prior: PriorSettings, inputs: bool) -> None:
    """Its tensors, and all that makes it anew. architecture: of the plain network; inputs: whether its input features have gates."""
    state = {name: tensor.detach().cpu() for name, tensor in twin.state_dict().items()}
    write_tensors(path, {"class": "Bayesian twin", "architecture": architecture.as_data(), "prior": asdict(prior), "inputs": inputs,
                         "state": state})


def load(path: Path, example: Tensor) -> nn.Module:
    """The twin that `save` wrote, on the device, in evaluation. example: what it is called with, on the device"""
    content = store.contents(path, ("class", "architecture", "prior", "inputs", "state"))
    dense = store.architecture_of(path, content).build()
    prior = build(PriorSettings, content["prior"], f"{path}: prior")
    twin = bayesianize(dense.to(runtime.device()), example, prior, inputs=content["inputs"])
    store.load_state(path, twin, content["state"], content, dense)
    return twin.eval()
