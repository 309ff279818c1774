"""What a small network is given after the cut: training with the dense one as its teacher, its zeros held."""

from pathlib import Path

from torch import nn

from sparsify.compress.masks import hold_zeros
from sparsify.data import Dataset
from sparsify.measure.accuracy import accuracy_percent
from sparsify.training import StepSettings, Teacher, cross_entropy, distillation, fit
from stages import runtime
from stages.params import Finetune, Params


def path_epochs(params: Params) -> int:
    """Of all the training that leads to the small network."""
    return params.baseline.epochs + params.bayesian.train.epochs + params.finetune.train.epochs


def recover(small: nn.Module, teacher: Teacher, dataset: Dataset, settings: Finetune, train: StepSettings, seed: int, label: str,
            total_steps: int | None = None, state: Path | None = None) -> list[dict[str, float]]:
    """Trains `small` in place, as `train` says, and returns the curve of `fit`, which takes `total_steps` and `state`.

    The seed is set here, so that the way in which the network became small does not decide which images come first.
    A teacher whose share of the loss is nothing is not asked: its answers to moved images cost as much as the small network's training."""
    runtime.seed_everything(seed)
    loss = distillation(small, teacher, train, settings.distill, settings.temperature) if settings.distill else cross_entropy(small, train)
    return fit(small, dataset.train, loss, train,
               lambda: {"validation_accuracy": accuracy_percent(small, dataset.validation)}, label, hold_zeros(small),
               total_steps, state=state)
