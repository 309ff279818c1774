"""What `shrink` is given: whether it can be used."""

import copy
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sparsify.bayes.variational import VariationalSettings
from sparsify.compress.recovery import RecoverySettings
from sparsify.settings import Check, InputError, quoted
from sparsify.structure.export import refuse_unready
from sparsify.task import telling

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
