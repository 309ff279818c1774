"""What a network of one's own is trained for: its examples, its loss, and what is measured on validation."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sparsify.data import Loaded, Split
from sparsify.losses import answers, cross_entropy, distillation
from sparsify.measure.accuracy import right_percent
from sparsify.settings import InputError, quoted
from sparsify.training import Batch, LossFunction, StepSettings, Terms

Loss = Callable[[Tensor, Tensor], Tensor]  # outputs and targets of a batch -> () their mean loss
Metric = Callable[[Tensor, Tensor], float | Tensor]


@contextmanager
def telling(what: str, to_do: str) -> Iterator[None]:
    """Whatever torch or a user's function raises in it becomes one line: what failed, how, and what to do."""
    try:
        yield
    except (InputError, torch.OutOfMemoryError):  # the one is such a line, the other is nobody's mistake
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:200].rstrip(".")
        raise InputError(f"{what} ({type(error).__name__}: {said}); {to_do}") from error


@dataclass(frozen=True, eq=False)
class Task:
    """loss: None for classification. metric: of all outputs and targets, larger is better; None for the accuracy, or for -loss."""

    train: Split | Loaded
    validation: Split | Loaded
    loss: Loss | None = None
    metric: Metric | None = None

    @property
    def example(self) -> Tensor:
        """What the network is called with, for its analysis.  (2, ...)"""
        inputs = self.train[:2] if isinstance(self.train, Split) else self.train.first[0][:2]
        return inputs if len(inputs) > 1 else inputs.repeat(2, *[1] * (inputs.ndim - 1))

    @property
    def measure(self) -> str:
        if self.metric is not None:
            return getattr(self.metric, "__name__", type(self.metric).__name__)
        return "accuracy" if self.loss is None else "-loss"

    def scored(self, network: nn.Module) -> dict[str, float]:
        """Its score, by the name that a curve gives it."""
        return {f"validation_{self.measure}": self.score(network)}

    def learnt(self, settings: StepSettings, teacher: nn.Module | None, share: float,
               temperature: float) -> Callable[[nn.Module], LossFunction]:
        """By network, the loss of a batch that asks it. teacher: has a share in it, in classification alone: of another task nobody
        knows whether a network's outputs can stand for its targets."""
        if self.loss is not None:
            return partial(_asking, self.loss)
        if teacher is None or not share:
            return lambda network: cross_entropy(network, settings)
        known = answers(teacher, self.train, settings)
        return lambda network: distillation(network, known, settings, share, temperature)

    @torch.no_grad()
    def score(self, network: nn.Module) -> float:
        """On validation, in evaluation. Raises InputError where it is no finite number."""
        training = network.training
        network.eval()
        pairs = [(_answers(network, inputs, "the model", "validation"), targets) for inputs, targets in self.validation]
        network.train(training)
        with telling(f"the {self.measure} cannot be taken of all of validation", "it has to give one number for outputs and targets"):
            outputs, targets = (torch.cat(parts) for parts in zip(*pairs, strict=True))
            if self.metric is not None:
                score = float(self.metric(outputs, targets))
            else:
                score = right_percent(outputs, targets) if self.loss is None else -float(self.loss(outputs, targets))
        if not math.isfinite(score):
            raise InputError(f"the {self.measure} on validation is {score}; lower the learning rate, or look at the data")
        return score

    def check(self, network: nn.Module) -> None:
        """Raises InputError for what cannot be trained or measured, as far as a few examples tell; `score` looks at validation."""
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise InputError(f"the {type(network).__name__} has no parameters that can be trained; requires_grad says which can")
        outputs = _answers(network, self.example, "the model", "training")
        if self.loss is None:
            self._check_classes(outputs)
        else:
            targets = self.train.labels[:2] if isinstance(self.train, Split) else self.train.first[1][:2]
            with telling("the loss fails", "it is given the outputs and the targets of a batch"):
                value = self.loss(outputs[:len(targets)], targets)
            if not isinstance(value, Tensor) or value.ndim or not value.requires_grad:
                raise InputError(f"the loss gives {quoted(value)}; it has to give the mean over the batch, a tensor () with its gradient")

    def _check_classes(self, outputs: Tensor) -> None:
        known = [part.labels if isinstance(part, Split) else part.first[1] for part in (self.train, self.validation)]
        for targets in known:
            if targets.dtype.is_floating_point or targets.dtype.is_complex or targets.ndim != 1:
                raise InputError(f"targets are {str(targets.dtype).removeprefix('torch.')} of shape {tuple(targets.shape)}; without loss= "
                                 "they have to be one whole number for each input, its class: give the loss of your task")
        if outputs.ndim != 2:
            raise InputError("without loss= the network has to put out one tensor of logits, (N, classes): give the loss of your task")
        for target in (int(each) for targets in known for each in targets.aminmax()):
            if not 0 <= target < outputs.shape[1]:
                raise InputError(f"there is a target {target}, and the network puts out {outputs.shape[1]} logits; classes count from 0")

    @torch.no_grad()
    def check_teacher(self, teacher: nn.Module, network: nn.Module) -> None:
        """Raises InputError where it does not answer as `network` does, or with what is no finite number."""
        answered = _answers(teacher, self.example, "the teacher", "training")
        expected = _answers(network, self.example, "the model", "training")
        if answered.shape != expected.shape:
            raise InputError(f"the teacher answers with {tuple(answered.shape[1:])} to an input, and the model with "
                             f"{tuple(expected.shape[1:])}; they have to answer alike")
        if not answered.isfinite().all():
            raise InputError("the teacher's answers are not finite; look at its weights")


def _asking(task_loss: Loss, network: nn.Module) -> LossFunction:
    def loss(batch: Batch) -> Terms:
        return {"loss": task_loss(_float(network(batch.images)), batch.labels)}
    return loss


def _answers(network: nn.Module, inputs: Tensor, who: str, part: str) -> Tensor:
    """Raises InputError where they are not one tensor of numbers."""
    with telling(f"{who} cannot answer about the {part} inputs", "they have to be what its forward takes, and of its dtype"):
        outputs = network(inputs)
    if not isinstance(outputs, Tensor):
        raise InputError(f"{who} answers with a {type(outputs).__name__}; it has to answer with one tensor")
    if outputs.isnan().any():
        raise InputError(f"{who} answers about the {part} inputs with NaN; look at its weights, and at the data")
    return _float(outputs)


def _float(outputs: Any) -> Any:
    """bfloat16 of mixed precision is left behind before a loss."""
    return outputs.float() if isinstance(outputs, Tensor) and outputs.dtype == torch.bfloat16 else outputs
