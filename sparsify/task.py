"""What a network of one's own is trained for: its examples, its loss, and what is measured on validation."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sparsify.data import Loaded, Split
from sparsify.losses import answers, cross_entropy, distillation
from sparsify.measure.accuracy import right_percent
from sparsify.settings import InputError
from sparsify.training import Batch, LossFunction, StepSettings, Terms

Loss = Callable[[Any, Tensor], Tensor]  # outputs and targets of a batch -> () their mean loss
Metric = Callable[[Tensor, Tensor], float | Tensor]


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
        pairs = [(_float(network(inputs)), targets) for inputs, targets in self.validation]
        network.train(training)
        if not all(isinstance(outputs, Tensor) for outputs, _ in pairs):
            raise InputError(f"the network's output is a {type(pairs[0][0]).__name__}; it has to be one tensor")
        outputs, targets = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        if self.metric is not None:
            score = self.metric(outputs, targets)
        else:
            score = right_percent(outputs, targets) if self.loss is None else -self.loss(outputs, targets)
        if not math.isfinite(float(score)):
            raise InputError(f"the {self.measure} on validation is {float(score)}; lower the learning rate, or look at the data")
        return float(score)

    def check(self, network: nn.Module) -> None:
        """Raises InputError where targets are not those of the loss, as far as a first batch tells."""
        if self.loss is not None:
            return
        known = [part.labels if isinstance(part, Split) else part.first[1] for part in (self.train, self.validation)]
        for targets in known:
            if targets.dtype.is_floating_point or targets.dtype.is_complex or targets.ndim != 1:
                raise InputError(f"targets are {str(targets.dtype).removeprefix('torch.')} of shape {tuple(targets.shape)}; without loss= "
                                 "they have to be one whole number for each input, its class: give the loss of your task")
        with torch.no_grad():
            outputs = network(self.example)
        if not isinstance(outputs, Tensor) or outputs.ndim != 2:
            raise InputError("without loss= the network has to put out one tensor of logits, (N, classes): give the loss of your task")
        highest = int(max(targets.max() for targets in known))
        if highest >= outputs.shape[1]:
            raise InputError(f"there is a target {highest}, and the network puts out {outputs.shape[1]} logits; classes count from 0")

    @torch.no_grad()
    def check_teacher(self, teacher: nn.Module, network: nn.Module) -> None:
        """Raises InputError where it does not answer as `network` does, or with what is no finite number."""
        try:
            answered = teacher(self.example)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise InputError(f"the teacher cannot answer about the training inputs ({str(error).splitlines()[0][:80]})") from None
        expected = network(self.example)
        if not isinstance(answered, Tensor) or answered.shape != expected.shape:
            came = tuple(answered.shape[1:]) if isinstance(answered, Tensor) else f"a {type(answered).__name__}"
            raise InputError(f"the teacher answers with {came} to an input, and the model with {tuple(expected.shape[1:])}; "
                             "they have to answer alike")
        if not answered.isfinite().all():
            raise InputError("the teacher answers with what is no finite number")


def _asking(task_loss: Loss, network: nn.Module) -> LossFunction:
    def loss(batch: Batch) -> Terms:
        return {"loss": task_loss(_float(network(batch.images)), batch.labels)}
    return loss


def _float(outputs: Any) -> Any:
    """bfloat16 of mixed precision is left behind before a loss."""
    return outputs.float() if isinstance(outputs, Tensor) and outputs.dtype == torch.bfloat16 else outputs
