"""The training of a Bayesian twin: the negative ELBO, priors that are fitted beside it, and the pressure towards a target."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from torch import nn

from sparsify.bayes.convert import noise_parameters
from sparsify.bayes.objective import negative_elbo, update_priors
from sparsify.bayes.priors import PriorSettings
from sparsify.bayes.target import ExpectedSize, Pressure
from sparsify.data import Loaded, Split
from sparsify.settings import Fraction, NonNegative, Positive, Settings
from sparsify.structure import Structure
from sparsify.training import LossFunction, Temperature, TrainSettings, fit

_TRAIN = TrainSettings(epochs=40, lr=1e-3, weight_decay=0.0, precision="bfloat16")


@dataclass(frozen=True)
class VariationalSettings(Settings):
    kl_warmup_epochs: NonNegative = 5.0  # without a target
    noise_lr_factor: Positive = 10.0  # the learning rate of noise and gates over that of the weights
    distill: Fraction = 0.0  # share of the loss on the data that comes from the dense teacher
    temperature: Temperature = 2.0
    train: TrainSettings = _TRAIN


def fit_posterior(twin: nn.Module, structure: Structure, before: Mapping[str, float], train: Split | Loaded, data_loss: LossFunction,
                  prior: PriorSettings, settings: VariationalSettings, evaluate: Callable[[], dict[str, float]], label: str,
                  state: Path | None = None, also: Mapping[str, nn.Module] = MappingProxyType({}),
                  after_step: Callable[[], None] = lambda: None) -> list[dict[str, float]]:
    """Trains `twin` in place with `data_loss`, which asks it, and the KL; returns the curve of `fit`, with beta where there is a target.

    structure, before: of the plain network; its size by units, weights, nonzeros and macs. prior: what the twin was made with. also: what
    else the state has to keep, by name. A target falls during the training, which is all the warm-up that the KL needs."""
    pressure = None
    for by, target in prior.target.given().items():
        expected = ExpectedSize(twin, structure, by, before[by])
        pressure = Pressure(expected, target, settings.train.epochs * train.steps(settings.train.batch_size))
    loss = negative_elbo(twin, data_loss, len(train), pressure.beta if pressure else prior.beta,
                         0 if pressure else settings.kl_warmup_epochs)

    def stepped() -> None:
        after_step()
        update_priors(twin)
        if pressure:
            pressure.step()

    return fit(twin, train, loss, settings.train, lambda: {**evaluate(), **(pressure.report() if pressure else {})}, label, stepped,
               lr_factors=dict.fromkeys(noise_parameters(twin), settings.noise_lr_factor),
               state=state, also={**also, **({"pressure": pressure} if pressure else {})})
