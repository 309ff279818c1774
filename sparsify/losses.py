"""What a network is trained towards: labels, and the answers of another network. Kept apart from the loop, which takes any loss."""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsify.data import Loaded, Split
from sparsify.training import Batch, LossFunction, StepSettings, Terms

Teacher = Callable[[Batch], Tensor]  # -> (B, K) logits


def cross_entropy(model: nn.Module, settings: StepSettings) -> LossFunction:
    def loss(batch: Batch) -> Terms:
        return {"nll": F.cross_entropy(model(batch.images), batch.labels, label_smoothing=settings.label_smoothing)}
    return loss


@torch.no_grad()
def answers(network: nn.Module, train: Split | Loaded, moving: bool) -> Teacher:
    """The answers of `network` as a teacher: once for every training input, without noise, unless training moves the images about, or
    a loader may do so; each batch is then asked for as it comes (arXiv:2106.05237)."""
    network.eval()
    if moving or isinstance(train, Loaded):
        network = copy.deepcopy(network).to(memory_format=torch.channels_last)
        return torch.no_grad()(lambda batch: network(batch.images))
    logits = torch.cat([network(some) for some in train.in_order()])
    return lambda batch: logits[batch.indices]


def distillation(student: nn.Module, teacher: Teacher, settings: StepSettings, share: float, temperature: float) -> LossFunction:
    """Cross-entropy, and for `share` of the loss the teacher's softened answers (arXiv:1503.02531 sec. 2)."""
    def loss(batch: Batch) -> Terms:
        logits = student(batch.images).float()  # a CPU's autocast would take log_softmax in bfloat16, where shares do not add up to 1
        target = (teacher(batch).float() / temperature).log_softmax(1)
        soft = F.kl_div((logits / temperature).log_softmax(1), target, reduction="batchmean", log_target=True)
        hard = F.cross_entropy(logits, batch.labels, label_smoothing=settings.label_smoothing)
        return {"nll": (1 - share) * hard, "distillation": share * temperature**2 * soft}
    return loss
