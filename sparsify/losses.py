"""What a network is trained towards: labels, and the answers of another network. Kept apart from the loop, which takes any loss."""

import copy
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from sparsify.data import Loaded, Split, moved
from sparsify.training import Batch, LossFunction, StepSettings, Terms, TrainSettings

Teacher = Callable[[Batch], Tensor]  # -> (B, K) logits
_KNOWN = 1 << 27  # logits at most, half a gigabyte: of 10 classes, 55,000 images in 244 moves


def cross_entropy(model: nn.Module, settings: StepSettings) -> LossFunction:
    def loss(batch: Batch) -> Terms:
        return {"nll": F.cross_entropy(model(batch.images), batch.labels, label_smoothing=settings.label_smoothing)}
    return loss


@torch.no_grad()
def answers(network: nn.Module, train: Split | Loaded, settings: StepSettings) -> Teacher:
    """The answers of `network` as a teacher, to the very inputs that a batch has, without their noise (arXiv:2106.05237).

    It is asked about every training input in each of its moves, all at the start, where those are no more than the epochs to come and
    `_KNOWN` holds them; else batch by batch, as for what a loader gives."""
    network.eval()
    if isinstance(train, Split) and _worth_knowing(network, train, settings):
        numbers = tqdm(range(settings.moves), desc="teacher", leave=None, disable=None if settings.moves > 1 else True)
        known = torch.stack([torch.cat([network(some) for some in _in_order(train, number, settings)]) for number in numbers])
        return lambda batch: known[0 if batch.moved is None else batch.moved, batch.indices]
    asked = copy.deepcopy(network).to(memory_format=torch.channels_last)
    return torch.no_grad()(lambda batch: asked(batch.clean))


def _worth_knowing(network: nn.Module, train: Split, settings: StepSettings) -> bool:
    if settings.moves == 1:
        return True
    epochs = settings.epochs if isinstance(settings, TrainSettings) else 0
    if len(train.shape) != 3:  # rows of numbers, whose training is refused
        return False
    return settings.moves <= epochs and settings.moves * len(train) * network(train[:2]).shape[1] <= _KNOWN


def _in_order(train: Split, number: int, settings: StepSettings) -> Iterator[Tensor]:
    """All inputs, each after the move of that number."""
    for inputs in train.in_order():
        yield inputs if settings.moves == 1 else moved(inputs, torch.full((len(inputs),), number, device=inputs.device), settings.shift)


def distillation(student: nn.Module, teacher: Teacher, settings: StepSettings, share: float, temperature: float) -> LossFunction:
    """Cross-entropy, and for `share` of the loss the teacher's softened answers (arXiv:1503.02531 sec. 2)."""
    def loss(batch: Batch) -> Terms:
        logits = student(batch.images).float()  # a CPU's autocast would take log_softmax in bfloat16, where shares do not add up to 1
        target = (teacher(batch).float() / temperature).log_softmax(1)
        soft = F.kl_div((logits / temperature).log_softmax(1), target, reduction="batchmean", log_target=True)
        hard = F.cross_entropy(logits, batch.labels, label_smoothing=settings.label_smoothing)
        return {"nll": (1 - share) * hard, "distillation": share * temperature**2 * soft}
    return loss
