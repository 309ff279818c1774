"""What a network is trained towards: labels, and the answers of another network. Kept apart from the loop, which takes any loss."""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsify.data import Loaded, Split
from sparsify.training import Batch, LossFunction, StepSettings, Terms

Teacher = Callable[[Batch], Tensor]  # -> (B, K) logits
_REMEMBERED = 1 << 27  # logits at most, half a gigabyte: of 10 classes, 55,000 images in 244 moves


def cross_entropy(model: nn.Module, settings: StepSettings) -> LossFunction:
    def loss(batch: Batch) -> Terms:
        return {"nll": F.cross_entropy(model(batch.images), batch.labels, label_smoothing=settings.label_smoothing)}
    return loss


@torch.no_grad()
def answers(network: nn.Module, train: Split | Loaded, settings: StepSettings) -> Teacher:
    """The answers of `network` as a teacher, to the very inputs that a batch has, without their noise (arXiv:2106.05237).

    It is asked once about every training input, all at the start; where training moves them about, about each of their moves as it comes,
    which a CPU remembers; and always about what a loader gives."""
    network.eval()
    if settings.moves == 1 and isinstance(train, Split):
        logits = torch.cat([network(some) for some in train.in_order()])
        return lambda batch: logits[batch.indices]
    copied = copy.deepcopy(network).to(memory_format=torch.channels_last)
    ask = torch.no_grad()(lambda inputs: copied(inputs))
    if isinstance(train, Split) and train.device.type == "cpu":  # a GPU would wait to be told what is known
        n_classes = network(train[:2]).shape[1]
        if settings.moves * len(train) * n_classes <= _REMEMBERED:
            return _Remembering(ask, torch.full((settings.moves, len(train), n_classes), torch.nan))
    return lambda batch: ask(batch.clean)


class _Remembering:
    """known: (moves, N, K) logits, NaN where `ask` was not asked yet."""

    def __init__(self, ask: Callable[[Tensor], Tensor], known: Tensor):
        self._ask, self._known = ask, known

    def __call__(self, batch: Batch) -> Tensor:
        assert batch.moved is not None
        answered = self._known[batch.moved, batch.indices]
        new = answered[:, 0].isnan()
        if new.any():
            answered[new] = self._ask(batch.clean[new]).to(answered.dtype)
            self._known[batch.moved[new], batch.indices[new]] = answered[new]
        return answered


def distillation(student: nn.Module, teacher: Teacher, settings: StepSettings, share: float, temperature: float) -> LossFunction:
    """Cross-entropy, and for `share` of the loss the teacher's softened answers (arXiv:1503.02531 sec. 2)."""
    def loss(batch: Batch) -> Terms:
        logits = student(batch.images).float()  # a CPU's autocast would take log_softmax in bfloat16, where shares do not add up to 1
        target = (teacher(batch).float() / temperature).log_softmax(1)
        soft = F.kl_div((logits / temperature).log_softmax(1), target, reduction="batchmean", log_target=True)
        hard = F.cross_entropy(logits, batch.labels, label_smoothing=settings.label_smoothing)
        return {"nll": (1 - share) * hard, "distillation": share * temperature**2 * soft}
    return loss
