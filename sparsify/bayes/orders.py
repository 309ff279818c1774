"""Scores of irrelevance beside log alpha, by which units or weights may leave: docs/targets.md section 3.

Like log alpha they are higher for what is more irrelevant. Magnitude, which needs no posterior, is in compaction.py."""

import torch
from torch import Tensor, nn

from sparsify.bayes.convert import Scores, scored
from sparsify.bayes.groups import Group, Neurons, Weights
from sparsify.bayes.priors import LOG_2_PI
from sparsify.structure import Structure, unit_costs, weight_costs


def evidence(twin: nn.Module) -> Scores:
    """log p(D | w = 0) - log p(D) of each unit or weight w, in nats: at 0 and above the data prefer the network without it.

    Bayesian model reduction (arXiv:2406.01345 eq. 5-6) with a reduced prior that is all at zero: log q(0) - log p(0). With one Gaussian
    N(0, sigma^2) a neuron it is sum_j [log(sigma^2 / s_j^2) / 2 - m_j^2 / (2 s_j^2)]. Of gates and of weights with a scale each
    (`ard`), sigma^2 is the mean of m^2 + s^2 over the stream or the tensor; of mixtures p(0) is that of the mixture.
    Raises InputError for `log_uniform`, whose prior is infinite at zero."""
    def score(group: Group) -> Tensor:
        mean, log_var = group.posterior()
        posterior = _each(group, -0.5 * (LOG_2_PI + log_var.double()) - _signal(mean, log_var))
        prior = group.prior.log_density_at_zero(mean.double(), log_var.double()).reshape(posterior.shape)
        return (posterior - prior).to(mean.dtype)
    return scored(twin, score)


def signal_per_mac(twin: nn.Module, structure: Structure) -> Scores:
    """-log of (sum_j m_j^2 / (2 s_j^2) / MACs), the signal of a unit or weight for each multiply-accumulate that it takes part in.

    MACs are those of the whole network, the mean weight's counted as 1: of a unit all into it and out of it.
    structure: of the plain network"""
    units, weights = unit_costs(structure, twin, "macs"), weight_costs(structure, twin, "macs")

    def score(group: Group) -> Tensor:
        mean, log_var = group.posterior()
        signal = _each(group, _signal(mean, log_var)).clamp_min(torch.finfo(torch.float64).tiny)
        cost = (weights if isinstance(group, Weights) else units)[group.name]
        return (signal.new_tensor(cost).log() - signal.log()).to(mean.dtype)
    return scored(twin, score)


def _signal(mean: Tensor, log_var: Tensor) -> Tensor:
    """m^2 / (2 s^2).  (O, J), (O, J) -> (O, J) float64"""
    return 0.5 * mean.double().square() * (-log_var.double()).exp()


def _each(group: Group, values: Tensor) -> Tensor:
    """The sum over what one unit or weight has of a group's matrix.  (O, J) -> (U,), or a weight's shape"""
    if isinstance(group, Neurons):
        return values.sum(1)
    return values.reshape(group.layers[0].weight.shape) if isinstance(group, Weights) else values.flatten()
