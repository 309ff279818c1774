"""The KL of a whole network, and the negative evidence lower bound, scaled here and nowhere else."""

from collections.abc import Callable
from functools import reduce
from operator import add

from torch import Tensor, nn

from sparsify.bayes.gates import Gate, joins, joint_kl
from sparsify.bayes.groups import Group, groups_of, not_bayesian
from sparsify.training import Batch, LossFunction, Terms


def kl(twin: nn.Module) -> Tensor:
    """KL(posterior || prior) of all that the prior acts on, each group once and times what it costs.  -> () nats

    To be divided by the number of training examples where it stands beside a mean over examples."""
    return _kl(groups_of(twin))


def _kl(groups: list[Group]) -> Tensor:
    if not groups:
        raise not_bayesian()
    gates = [group for group in groups if isinstance(group, Gate) and joins(group)]
    others = [group.kl() for group in groups if not (isinstance(group, Gate) and joins(group))]
    return reduce(add, [joint_kl(gates), *others] if gates else others)


def negative_elbo(model: nn.Module, data_loss: LossFunction, n_data: int, beta: float | Callable[[], Tensor],
                  warmup_epochs: float) -> LossFunction:
    """A loss with the terms of `data_loss`, which asks `model`, and kl, in nats per example.

    beta: a number, or what says at each step which () it is
    Over the first `warmup_epochs` the KL grows from nothing to `beta`. With cross-entropy for `data_loss` this is the ELBO of the
    labels; with distillation the labels give way to a teacher's answers, and it is a bound no more."""
    groups = groups_of(model)

    def loss(batch: Batch) -> Terms:
        data_terms = data_loss(batch)
        weight = beta() if callable(beta) else beta
        return data_terms | {"kl": _warmth(batch.epochs_done, warmup_epochs) * weight * _kl(groups) / n_data}
    return loss


def _warmth(epochs_done: float | Tensor, warmup_epochs: float) -> float | Tensor:
    """From 0 to 1 over the warm-up, without asking a tensor what it holds: a captured step could not."""
    if not warmup_epochs:
        return 1.0
    share = epochs_done / warmup_epochs
    return share.clamp(max=1.0) if isinstance(share, Tensor) else min(1.0, share)


def update_priors(twin: nn.Module) -> None:
    """One step of every prior that is fitted towards the posterior; after each training step."""
    groups = groups_of(twin)
    if not groups:
        raise not_bayesian()
    for group in groups:
        group.update_prior()
