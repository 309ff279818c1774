"""The KL of a whole network, and the negative evidence lower bound, scaled here and nowhere else."""

from functools import reduce
from operator import add

from torch import Tensor, nn

from sparsify.bayes.groups import Group, groups_of, not_bayesian
from sparsify.training import Batch, LossFunction, Terms


def kl(twin: nn.Module) -> Tensor:
    """KL(posterior || prior) of all that the prior acts on, each group once and times what it costs.  -> () nats

    To be divided by the number of training examples where it stands beside a mean over examples."""
    return _kl(groups_of(twin))


def _kl(groups: list[Group]) -> Tensor:
    if not groups:
        raise not_bayesian()
    return reduce(add, (group.kl() for group in groups))


def negative_elbo(model: nn.Module, data_loss: LossFunction, n_data: int, beta: float, warmup_epochs: float) -> LossFunction:
    """A loss with the terms of `data_loss`, which asks `model`, and kl, in nats per example.

    Over the first `warmup_epochs` the KL grows from nothing to `beta`. With cross-entropy for `data_loss` this is the ELBO of the
    labels; with distillation the labels give way to a teacher's answers, and it is a bound no more."""
    groups = groups_of(model)

    def loss(batch: Batch) -> Terms:
        warmth = min(1.0, batch.epochs_done / warmup_epochs) if warmup_epochs else 1.0
        data_terms = data_loss(batch)
        return data_terms | {"kl": warmth * beta * _kl(groups) / n_data}
    return loss


def update_priors(twin: nn.Module) -> None:
    """One step of every prior that is fitted towards the posterior; after each training step."""
    for group in groups_of(twin):
        group.update_prior()
