"""What a network's answers are worth: accuracy and likelihood."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsify.data import Split
from sparsify.settings import InputError


@torch.no_grad()
def predict(model: nn.Module, split: Split, batch_size: int | None = None) -> Tensor:
    """The logits in evaluation.  (N, classes)

    batch_size: as many as suit the device if not given"""
    training = model.training
    model.eval()
    logits = torch.cat([model(batch) for batch in split.in_order(batch_size)])
    model.train(training)
    if not logits.isfinite().all():
        raise InputError("the network's answers are not finite; lower the learning rate, or look at the data")
    return logits


def accuracy_percent(model: nn.Module, split: Split) -> float:
    return right_percent(predict(model, split), split.labels)


def quality(model: nn.Module, split: Split) -> dict[str, float]:
    """Accuracy in percent, negative log-likelihood in nats."""
    logits = predict(model, split)
    return {"accuracy": right_percent(logits, split.labels),
            "nll": F.cross_entropy(logits, split.labels).item()}


def largest_logit_gap(model: nn.Module, other: nn.Module, split: Split) -> float:
    """`largest_gap` of two networks' answers."""
    return largest_gap(predict(model, split), predict(other, split))


def largest_gap(expected: Tensor, found: Tensor) -> float:
    """The largest difference between logits, as a share of the largest expected one (of 1, if all are smaller)."""
    return ((expected - found).abs().max() / expected.abs().max().clamp_min(1)).item()


def right_percent(logits: Tensor, labels: Tensor) -> float:
    """(N, K), (N,)"""
    return 100 * (logits.argmax(1) == labels).double().mean().item()
