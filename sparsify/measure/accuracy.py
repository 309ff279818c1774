"""What a network's answers are worth: accuracy and likelihood."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsify.data import Split
from sparsify.settings import InputError

GPU_BATCH_VALUES = 1 << 24  # of the images that a GPU is given at a time: 5,461 of CIFAR-10's, so that its kernels outlast their launch


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, batch_size: int | None = None) -> Tensor:
    """The logits in evaluation.  (N, C, H, W) -> (N, classes)

    batch_size: 1,000 on a CPU and, on a GPU, as many as GPU_BATCH_VALUES allows if not given"""
    if batch_size is None:
        batch_size = max(1, GPU_BATCH_VALUES // images[0].numel()) if images.is_cuda else 1000
    training = model.training
    model.eval()
    logits = torch.cat([model(batch) for batch in images.split(batch_size)])
    model.train(training)
    if not logits.isfinite().all():
        raise InputError("the network's answers are not finite; lower the learning rate, or look at the data")
    return logits


def accuracy_percent(model: nn.Module, split: Split) -> float:
    return _accuracy_percent(predict(model, split.images), split.labels)


def quality(model: nn.Module, split: Split) -> dict[str, float]:
    """Accuracy in percent, negative log-likelihood in nats."""
    logits = predict(model, split.images)
    return {"accuracy": _accuracy_percent(logits, split.labels),
            "nll": F.cross_entropy(logits, split.labels).item()}


def largest_logit_gap(model: nn.Module, other: nn.Module, images: Tensor) -> float:
    """The largest difference between two networks' logits, as a share of the largest logit (of 1, if all are smaller)."""
    logits, others = predict(model, images), predict(other, images)
    return ((logits - others).abs().max() / logits.abs().max().clamp_min(1)).item()


def _accuracy_percent(logits: Tensor, labels: Tensor) -> float:
    return 100 * (logits.argmax(1) == labels).double().mean().item()
