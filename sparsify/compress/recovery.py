"""What a small network is given after the cut: training, as a rule with the dense one as its teacher; its zeros stay as many."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from sparsify.compress.zeros import Zeros
from sparsify.data import Loaded, Split
from sparsify.settings import Fraction, Settings
from sparsify.training import LossFunction, StepSettings, Temperature, TrainSettings, fit, seed_draws

_TRAIN = TrainSettings(epochs=40, lr=1e-3, precision="bfloat16")
_TIMED_STEPS = 20


@dataclass(frozen=True)
class RecoverySettings(Settings):
    distill: Fraction = 0.9  # share of the loss that comes from the dense teacher
    temperature: Temperature = 2.0
    train: TrainSettings = _TRAIN
    regrow: Fraction = 0.0  # share of a layer's weights that change places with zeros after an epoch, at the start; 0: zeros stay


@dataclass(frozen=True)
class Recovery:
    """One recovery for all small networks of an experiment: the same examples, loss and seed, so that what differs is the cut alone."""

    train: Split | Loaded
    loss: Callable[[nn.Module], LossFunction]  # of a small network
    evaluate: Callable[[nn.Module], dict[str, float]]
    settings: StepSettings
    seed: int
    regrow: float = 0.0  # as RecoverySettings say

    def __call__(self, small: nn.Module, label: str, epochs: int | None = None, total_steps: int | None = None,
                 state: Path | None = None) -> list[dict[str, float]]:
        """Trains `small` in place and returns the curve of `fit`, which takes the rest. epochs: in place of those of the settings, whose
        schedule then falls to its end in as many.

        The seed is set here, so that the way in which the network became small does not decide which images come first."""
        seed_draws(self.train, self.seed)
        settings = self.settings if epochs is None else TrainSettings(**vars(self.settings) | {"epochs": epochs})
        zeros = Zeros(small, self.regrow)
        return fit(small, self.train, self.loss(small), settings, lambda: self.evaluate(small), label, zeros.hold, total_steps,
                   state=state, also={"zeros": zeros}, after_epoch=zeros.move)

    def seconds_per_epoch(self, network: nn.Module) -> float:
        """About: by a few steps of a copy, and one evaluation."""
        whole = self.train.steps(self.settings.batch_size)
        steps = min(_TIMED_STEPS, whole)
        trained = copy.deepcopy(network)
        training = replace(self, evaluate=lambda _: {})(trained, "timing", total_steps=steps)[-1]["seconds"]
        start = time.perf_counter()
        self.evaluate(trained)
        return training * whole / steps + time.perf_counter() - start
