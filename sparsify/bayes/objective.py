"""The negative evidence lower bound, scaled here and nowhere else."""

from torch import nn

from sparsify.bayes.convert import bayesian_layers
from sparsify.training import Batch, LossFunction, Terms, ramp


def negative_elbo(model: nn.Module, data_loss: LossFunction, n_data: int, beta: float, warmup_epochs: float) -> LossFunction:
    """A loss with the terms of `data_loss`, which asks `model`, and kl, in nats per example.

    Over the first `warmup_epochs` the KL grows from nothing to `beta`. With cross-entropy for `data_loss` this is the ELBO of the
    labels; with distillation the labels give way to a teacher's answers, and it is a bound no more."""
    layers = list(bayesian_layers(model).values())

    def loss(batch: Batch) -> Terms:
        data_terms = data_loss(batch)
        kl_sum = sum(layer.kl() for layer in layers)
        return data_terms | {"kl": ramp(batch.epochs_done, warmup_epochs) * beta * kl_sum / n_data}
    return loss


def update_priors(model: nn.Module) -> None:
    for layer in bayesian_layers(model).values():
        layer.update_prior()
