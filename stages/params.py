"""params.yaml, read once and checked: one frozen dataclass a section."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from sparsify import data, models
from sparsify.bayes.priors import PriorSettings, Target
from sparsify.bayes.variational import VariationalSettings
from sparsify.compaction import ORDERS
from sparsify.compress.magnitude import SCOPES
from sparsify.compress.recovery import RecoverySettings
from sparsify.data import folder
from sparsify.settings import (
    DIFFERENT,
    Check,
    InputError,
    NonNegative,
    Percent,
    PositiveInt,
    Repeats,
    Seed,
    Settings,
    Steps,
    between,
    build,
    one_of,
)
from sparsify.training import StepSettings, TrainSettings
from stages import reading

ENGINES = ("eager", "compile", "onnxruntime", "int8")
CONTROLS = ("magnitude", "scratch")
DATA_NAME = Check(f"one of {', '.join((*data.NAMES, folder.NAME))}, or package.module:function",
                  lambda name: name in (*data.NAMES, folder.NAME) or ":" in name)

TITLE = Check("a name of 1 to 100 characters without $, which the pictures would take for a formula",  # of pictures, and of columns
              lambda name: 0 < len(name) <= 100 and name.isprintable() and "$" not in name)


@dataclass(frozen=True)
class Data(Settings):
    name: Annotated[str, DATA_NAME]
    path: str  # what the data comes from, which DVC watches
    size: Annotated[int, between(1, 8192)] | None  # pixels
    channels: Annotated[int, Check("1 or 3", lambda channels: channels in (1, 3))] | None
    skip_unreadable: bool
    validation: PositiveInt  # examples held out of the training set
    split_seed: Seed


@dataclass(frozen=True)
class Model(Settings):
    name: Annotated[str, models.NAME]
    path: str  # what the network comes from, which DVC watches
    weights: str | None  # of the dense network, to start from: a file at or in `path`
    width: models.Width  # multiplies the units of every hidden layer

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights is not None and not Path(os.path.abspath(self.weights)).is_relative_to(os.path.abspath(self.path)):
            raise InputError(f"model.weights is {self.weights!r}; it has to lie at or in model.path, which is {self.path!r}, so that a "
                             "changed file is seen; set model.path to the file, or to a folder that holds it and the network's code")


@dataclass(frozen=True)
class Bayesian(VariationalSettings):
    from_baseline: bool = True  # start from the trained dense network; else from scratch
    snapshots: Steps = 0  # frames of the training that are kept for stages.carve


@dataclass(frozen=True)
class Prune(Settings):
    order: Annotated[str, one_of(ORDERS)]  # which unit or weight goes first
    threshold: float | None  # of that order's scores; empty: chosen on validation
    max_accuracy_drop: NonNegative  # points of validation accuracy that the chosen threshold may cost, before fine-tuning
    target: Target  # what the cut leaves at most, in place of max_accuracy_drop
    max_final_drop: NonNegative | None  # points under the dense network that the small one may end, in place of both
    trial_epochs: PositiveInt | None  # of each recovery of its search; empty: finetune.train.epochs
    inputs: bool  # input pixels may leave the network too

    def __post_init__(self) -> None:
        super().__post_init__()
        others = {f"target.{name}": size for name, size in self.target.given().items()} | {"max_final_drop": self.max_final_drop}
        for name, value in others.items():
            if self.threshold is not None and value is not None:
                raise InputError(f"prune.threshold is {self.threshold:g} and prune.{name} {value:g}; only one of them can say where to "
                                 "cut: set the other to null")


@dataclass(frozen=True)
class Finetune(RecoverySettings):
    teacher: str = "models/baseline.safetensors"  # the network whose answers are learnt, a file that a stage or sparsify.save wrote


@dataclass(frozen=True)
class Controls(Settings):
    methods: tuple[Annotated[str, one_of(CONTROLS)], ...]  # none to spare their time


@dataclass(frozen=True)
class Export(Settings):
    normalise: bool  # inside the files, which then take inputs as they are stored
    calibration: PositiveInt  # validation examples that give int8 its ranges


@dataclass(frozen=True)
class Benchmark(Settings):
    batch_sizes: Annotated[tuple[Repeats, ...], DIFFERENT]
    repeats: Repeats
    threads: Annotated[tuple[Annotated[int, between(0, 1024)], ...], DIFFERENT]  # 0 means all cores
    engines: tuple[Annotated[str, one_of(ENGINES)], ...]
    max_accuracy_drop: NonNegative  # points under the compact network's in torch, which what is recommended may lose


@dataclass(frozen=True)
class Uncertainty(Settings):
    samples: Repeats  # passes of the Bayesian network with its noise


@dataclass(frozen=True)
class Sweep(Settings):
    shares: Annotated[tuple[Percent, ...], DIFFERENT]  # percent of the weights, or of the units, that go
    weight_scope: Annotated[str, one_of(SCOPES)]  # the smallest of each layer, or of all together; units go by layer
    seeds: Annotated[tuple[Seed, ...], DIFFERENT]  # of the retraining; the baseline stays
    weight_steps: Steps  # of retraining with the masks held
    unit_steps: Steps
    max_accuracy_drop: NonNegative  # points of accuracy: how far the plateau reaches
    timing_repeats: Repeats
    train: StepSettings


@dataclass(frozen=True)
class Params(Settings):
    recipe_name: Annotated[str, TITLE]
    seed: Seed
    data: Data
    model: Model
    baseline: TrainSettings
    prior: PriorSettings
    bayesian: Bayesian
    prune: Prune
    finetune: Finetune
    controls: Controls
    export: Export
    benchmark: Benchmark
    uncertainty: Uncertainty
    sweep: Sweep

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.prune.order, self.prior.kind) == ("evidence", "log_uniform"):
            raise InputError("prune.order is evidence, but the prior log_uniform has none: its density is infinite at zero; "
                             "choose another order, or prior.kind=ard")

    @property
    def path_epochs(self) -> int:
        """Of all the training that leads to the small network."""
        return self.baseline.epochs + self.bayesian.train.epochs + self.finetune.train.epochs


def load(path: Path = Path("params.yaml")) -> Params:
    """Raises InputError, which names the key, for anything that cannot be used."""
    return build(Params, reading.section(path))
