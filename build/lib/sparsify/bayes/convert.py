"""From any network to its Bayesian twin, and back to a plain network with a measure of every unit's or weight's relevance.

The twin is a deep copy of the user's own class. What is added hangs on its layers: parameters, groups and hooks; `bake` takes them off."""

import copy
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sparsify.bayes.attach import ATTACH
from sparsify.bayes.coverage import Coverage, cover, reasons
from sparsify.bayes.gates import GatedInput, end_gates
from sparsify.bayes.groups import Group, Weights, groups_of, not_bayesian
from sparsify.bayes.layers import end_noise
from sparsify.bayes.priors import KINDS, PriorSettings
from sparsify.settings import InputError
from sparsify.structure import Structure, analyse
from sparsify.structure.export import Example


def bayesianize(model: nn.Module, example: Example, prior: str | PriorSettings = "gate", *, inputs: bool = False,
                protect: Collection[str] = (), structure: Structure | None = None) -> nn.Module:
    """The Bayesian twin: a copy of `model`, of its class, on its device and in its mode, with noise and a prior; `model` is not changed.

    example: what the network is called with, (N, ...) or a tuple of such
    prior: its kind (log_uniform, ard, gaussian, mixture, gate), or all of its settings
    inputs: whether the network's input features get gates too, where linear layers read them (gate alone)
    protect: streams and modules whose units or weights all have to stay
    structure: what `sparsify.structure.analyse` said of this model, if it was asked before

    Raises InputError where the prior finds nothing to act on. Warns where it does not act on all; `coverage(twin)` tells the whole."""
    settings = PriorSettings(kind=prior) if isinstance(prior, str) else prior
    if not isinstance(settings, PriorSettings):
        raise InputError(f"prior is {prior!r}; it has to be one of {', '.join(KINDS)}, or a PriorSettings")
    if groups_of(model):
        raise InputError("the network is Bayesian already; give the plain one, or bake(twin)")
    if half := [name for name, parameter in model.named_parameters() if parameter.dtype == torch.float16]:
        raise InputError(f"{half[0]} is float16, which has no number as small as a variance; give model.float(), and train it in "
                         "mixed precision if that is wanted")
    structure = analyse(model, example) if structure is None else structure
    covered = cover(structure, model, settings.kind, inputs, protect)
    if not covered.chosen():
        raise InputError(f"the prior {settings.kind} finds nothing to act on: {reasons(covered.rows) or 'no layer has weights'}")
    expected = covered.expected()
    n_staying = sum(row.reason is not None for row in expected)
    if n_staying:
        what = "weights" if KINDS[settings.kind].groups == "weights" else "streams"
        warnings.warn(f"{n_staying} of {len(expected)} {what} stay as they are: {reasons(expected)}", stacklevel=2)
    twin = copy.deepcopy(model)
    ATTACH[KINDS[settings.kind].groups](twin, structure, covered.chosen(), settings)
    vars(twin)["sparsify_coverage"] = covered
    return twin


def coverage(twin: nn.Module) -> Coverage:
    """What the prior acts on and, by stream or weight, why not on the rest; printed, a table."""
    for module in twin.modules():  # the twin itself, unless something wraps it
        if isinstance(found := getattr(module, "sparsify_coverage", None), Coverage):
            return found
    raise not_bayesian()


def noise_parameters(twin: nn.Module) -> list[str]:
    """The names of the parameters that a twin has beside its original: log variances of weights, gates and their log variances."""
    noise = {parameter for group in groups_of(twin) for parameter in group.noise()}
    return [name for name, parameter in twin.named_parameters() if parameter in noise]


@dataclass(frozen=True)
class Scores:
    """By whatever order, as large as the thing is irrelevant: what is above a threshold can go."""

    units: dict[str, Tensor]  # by stream, (units,): of gates and neurons
    weights: dict[str, Tensor]  # by weight tensor, in its shape: of single weights


@torch.no_grad()
def scored(twin: nn.Module, score: Callable[[Group], Tensor]) -> Scores:
    """score: of a group, that of each unit, (U,), or weight, in its tensor's shape"""
    groups = groups_of(twin)
    if not groups:
        raise not_bayesian()
    return Scores(units={group.name: score(group) for group in groups if not isinstance(group, Weights)},
                  weights={group.name: score(group) for group in groups if isinstance(group, Weights)})


def log_alphas(twin: nn.Module) -> Scores:
    """log of noise over signal."""
    return scored(twin, lambda group: group.log_alpha())


@torch.no_grad()
def bake(twin: nn.Module) -> nn.Module:
    """The plain network, of the user's class, that computes what the twin does in evaluation, and shares nothing with it."""
    plain = copy.deepcopy(twin)
    for module in list(plain.modules()):
        end_gates(module)
        end_noise(module)
        for name, child in list(module.named_children()):
            if isinstance(child, GatedInput | Group):
                delattr(module, name)
        vars(module).pop("sparsify_coverage", None)
    return plain
