"""What a network's confidence is worth: likelihood, calibration, and how right it is on what it is surest of."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

REJECTED = tuple(range(0, 91, 5))  # percent of the images, at which the curve is taken
BINS = 15  # of confidence, as in arXiv:1706.04599


def mean_of_passes(logits: Callable[[], Tensor], passes: int) -> Tensor:
    """log of the mean probabilities of several passes, each of which `logits` makes.  -> (N, K) float64"""
    total = logits().double().log_softmax(1)
    for _ in range(passes - 1):
        total = torch.logaddexp(total, logits().double().log_softmax(1))
    return total.log_softmax(1)  # over the number of passes


def accuracy_by_rejection(log_probabilities: Tensor, labels: Tensor, rejected: Sequence[float] = REJECTED) -> list[float]:
    """Accuracy in percent on what is left when the least confident images, `rejected` percent of them, are turned away.  (N, K), (N,)

    At least one image stays. Of images with the same confidence the first stay."""
    confidence, answer = log_probabilities.max(1)
    right = (answer == labels)[confidence.argsort(descending=True, stable=True)].double()
    so_far = right.cumsum(0) / torch.arange(1, len(labels) + 1, device=labels.device)
    return [100 * so_far[max(1, round(len(labels) * (1 - share / 100))) - 1].item() for share in rejected]


def scores(log_probabilities: Tensor, labels: Tensor, calibration: bool = True) -> dict[str, float]:
    """nll in nats; accuracies and expected calibration error (arXiv:1706.04599 eq. 3) in percent; `rejection_area`: the mean accuracy over
    the curve.  (N, K), (N,)

    calibration: False leaves its error out, which torchmetrics computes"""
    curve = accuracy_by_rejection(log_probabilities, labels)
    found = {"accuracy": curve[0], "nll": F.nll_loss(log_probabilities, labels).item()}
    if calibration:
        found["calibration_error"] = _calibration_error_percent(log_probabilities, labels)
    return found | {"accuracy_10_rejected": curve[REJECTED.index(10)], "rejection_area": sum(curve) / len(curve)}


def _calibration_error_percent(log_probabilities: Tensor, labels: Tensor) -> float:
    from torchmetrics.functional.classification import multiclass_calibration_error  # takes a while to import

    error = multiclass_calibration_error(log_probabilities.exp(), labels, num_classes=log_probabilities.shape[1], n_bins=BINS)
    return 100 * error.item()
