"""What a small network is given after the cut: training, as a rule with the dense one as its teacher, its zeros held."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from sparsify.compress.masks import hold_zeros
from sparsify.data import Loaded, Split
from sparsify.settings import Fraction, Positive, Settings
from sparsify.training import LossFunction, StepSettings, TrainSettings, fit

_TRAIN = TrainSettings(epochs=40, precision="bfloat16")


@dataclass(frozen=True)
class RecoverySettings(Settings):
    distill: Fraction = 0.5  # share of the loss that comes from the dense teacher
    temperature: Positive = 2.0
    train: TrainSettings = _TRAIN


def recover(small: nn.Module, train: Split | Loaded, loss: LossFunction, settings: StepSettings, evaluate: Callable[[], dict[str, float]],
            seed: int, label: str, total_steps: int | None = None, state: Path | None = None) -> list[dict[str, float]]:
    """Trains `small` in place with `loss`, which asks it, and returns the curve of `fit`, which takes the rest.

    The seed is set here, so that the way in which the network became small does not decide which images come first."""
    torch.manual_seed(seed)
    if isinstance(train, Loaded):
        train.seed(seed)
    return fit(small, train, loss, settings, evaluate, label, hold_zeros(small), total_steps, state=state)
