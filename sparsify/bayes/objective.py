"""The negative evidence lower bound, scaled here and nowhere else."""

import torch.nn.functional as F
from torch import nn

from sparsify.bayes.convert import bayesian_layers
from sparsify.training import Batch, LossFunction, Terms


def negative_elbo(model: nn.Module, n_data: int, beta: float, warmup_epochs: float, label_smoothing: float) -> LossFunction:
    """A loss with the terms nll and kl, in nats per example; over the first `warmup_epochs` the KL grows from nothing to `beta`."""
    layers = list(bayesian_layers(model).values())

    def loss(batch: Batch) -> Terms:
        warmth = min(1.0, batch.epochs_done / warmup_epochs) if warmup_epochs else 1.0
        nll_mean = F.cross_entropy(model(batch.images), batch.labels, label_smoothing=label_smoothing)
        kl_sum = sum(layer.kl() for layer in layers)
        return {"nll": nll_mean, "kl": warmth * beta * kl_sum / n_data}
    return loss


def update_priors(model: nn.Module) -> None:
    for layer in bayesian_layers(model).values():
        layer.update_prior()
