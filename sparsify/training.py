"""One training loop for the dense, the Bayesian and the compact network: they differ in their loss alone."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from sparsify import capture, checkpoint, distributed
from sparsify.data import Loaded, Split, moved, moves
from sparsify.precision import fast_dtype
from sparsify.settings import Fraction, InputError, NonNegative, Positive, PositiveInt, Settings, Steps, between, one_of

OPTIMIZERS = ("adamw", "sgd")
PRECISIONS = ("float32", "bfloat16")
BAR = "{desc} {n_fmt}/{total_fmt} |{bar:6}| {remaining} to go{postfix}"  # epochs; accuracy and what is left fit in 80 columns
Temperature = Annotated[float, between(0.01, 1000)]  # of softened answers


@dataclass(frozen=True)
class StepSettings(Settings):
    """How to train, but for how long."""

    batch_size: PositiveInt = 128
    optimizer: Annotated[str, one_of(OPTIMIZERS)] = "adamw"
    lr: Positive = 3e-3  # the peak of a one-cycle schedule
    weight_decay: NonNegative = 0.01
    label_smoothing: Fraction = 0.0
    input_noise: NonNegative = 0.0  # deviation of Gaussian noise on the normalised inputs
    input_dropout: Fraction = 0.0
    shift: Annotated[int, between(0, 100)] = 0  # pixels by which each image is moved about, at most, at random
    flip: bool = False  # every other image, at random, is mirrored
    precision: Annotated[str, one_of(PRECISIONS)] = "float32"  # of products in training; bfloat16: where the hardware multiplies in it

    @property
    def moves(self) -> int:
        """Of an image: one where they stay."""
        return moves(self.shift, self.flip)


@dataclass(frozen=True)
class TrainSettings(StepSettings):
    epochs: Steps = 30


class Batch(NamedTuple):
    """What a loss is taken of."""

    images: Tensor  # (B, C, H, W) or (B, F), moved about and noisy
    clean: Tensor  # without the noise: what a teacher is asked about
    labels: Tensor  # (B,)
    indices: Tensor  # (B,) where they stand in the training set; (1,) of -1 where a loader gives the batches
    epochs_done: float | Tensor  # so far, with their fraction; a tensor () where steps are captured
    moved: Tensor | None = None  # (B,) by which move, as data/augment.py counts them; None where images stay


Terms = dict[str, Tensor]  # the named parts that add up to the loss, nats per example
LossFunction = Callable[[Batch], Terms]


def fit(model: nn.Module, train: Split | Loaded, loss: LossFunction, settings: StepSettings,
        evaluate: Callable[[], dict[str, float]], label: str, after_step: Callable[[], None] = lambda: None, total_steps: int | None = None,
        lr_factors: Mapping[str, float] = MappingProxyType({}), state: Path | None = None, save_every_seconds: float = 60.0,
        captured: bool = True, also: Mapping[str, nn.Module] = MappingProxyType({}),
        after_epoch: Callable[[float], None] = lambda done: None) -> list[dict[str, float]]:
    """Trains `model` in place and returns one row an epoch: the mean of every term, what `evaluate` says, the seconds.

    train: of a loader the batches are its own, whatever settings.batch_size says.
    total_steps: for how long, in place of TrainSettings.epochs; the last epoch may then end early.
    lr_factors: as `make_optimizer` takes them.
    state: a file that keeps the state of the last epoch, written no more often than `save_every_seconds` and whenever training ends;
        if it is there at the start, training goes on from it. Whoever keeps what was trained deletes it after that.
    also: what else the state has to keep, by name: modules that `after_step` or `after_epoch` changes.
    after_epoch: is told the share of all steps that are taken, before `evaluate`; the gradients are still those of the last step.
    captured: on a CUDA device, whether steps are replayed as a graph; what Python does in `loss`, `model` and `after_step` is then done
        at a few steps alone (sparsify/capture.py).
    Convolutions are trained channels-last. Draws from torch's global random state alone.
    In a process group (`torch.distributed`) each process takes its share of every batch; see distributed.py.
    Raises InputError where a term is not finite (on a GPU, and in a process group, at the end of that epoch), if nothing says for how
    long to train, if nothing can be trained, if BatchNorm is given one example, if rows of numbers are to be moved about like images."""
    if settings.moves > 1 and len(train.shape) != 3:
        raise InputError(f"shift and flip move images about, and these inputs have shape {train.shape}; set them to 0 and false")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError(f"{label}: the {type(model).__name__} has no parameters that can be trained; requires_grad says which can")
    if isinstance(train, Loaded) and distributed.active():
        raise InputError(f"{label}: several processes share out the batches of tensors, and a loader's are its own; train in one process")
    steps = train.steps(settings.batch_size)
    if total_steps is None:
        if not isinstance(settings, TrainSettings):
            raise InputError("StepSettings do not say for how long to train; give TrainSettings, or total_steps")
        total_steps = settings.epochs * steps
    if total_steps == 0:
        return [{"epoch": 0, **evaluate(), "seconds": 0.0}]
    device = train.device
    mixed = settings.precision == "bfloat16" and fast_dtype(device.type) is torch.bfloat16
    model.to(memory_format=torch.channels_last)
    loss, seed = distributed.averaged(model, loss), torch.initial_seed()
    optimizer = make_optimizer(model, settings, lr_factors)
    warmup = 0.3 if total_steps == 4 else 0.2  # torch divides by 0.2 * 5 - 1
    peaks = [group["lr"] for group in optimizer.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, total_steps=total_steps + 1, pct_start=warmup, cycle_momentum=False)
    names: list[str] = []

    def step(indices: Tensor, epochs_done: float | Tensor, given: tuple[Tensor, Tensor] | None = None) -> Tensor:
        inputs, labels = given or next(train.pairs([indices]))
        moved_by = torch.randint(settings.moves, labels.shape[:1], device=device) if settings.moves > 1 else None
        clean = inputs if moved_by is None else moved(inputs, moved_by, settings.shift)
        batch = Batch(_noisy(clean, settings), clean, labels, indices, epochs_done, moved_by)
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):  # left before the step ends, and with it go its casts of weights
            terms = loss(batch)
        names[:] = terms
        values = descend(optimizer, terms, look=given is not None)
        after_step()
        return values

    recorder = capture.recorder_for(device) if captured and not train.mapped else None
    take = capture.CapturedSteps(step, model, optimizer, schedule, recorder) if recorder else partial(_eager_steps, step, schedule, train)
    kept = {"model": model, "optimizer": optimizer, "schedule": schedule, **also}
    if isinstance(train, Loaded):
        kept["loader"] = train
    with checkpoint.Keeper(state, kept, save_every_seconds) as keeper:
        curve = keeper.load()
        if schedule.last_epoch != min(len(curve) * steps, total_steps):  # as torch calls the steps that were taken
            raise InputError(f"{state} is not the state of this training ({len(curve)} epochs of {steps} steps, {schedule.last_epoch} "
                             "steps taken); delete it to start from the first epoch")
        distributed.check_alike(len(curve), f"epochs in {state}; it has to lie in a folder that all of them share")
        epochs = range(math.ceil(total_steps / steps))
        progress = tqdm(epochs[len(curve):], desc=label, bar_format=BAR, initial=len(curve), total=len(epochs), leave=None,
                        disable=None if distributed.first() else True)
        for epoch in progress:
            start = time.perf_counter()
            model.train()
            distributed.draw_apart(seed, epoch)
            order = distributed.same(train.order(settings.batch_size))[:total_steps - epoch * steps]
            try:
                history = take(distributed.share(order), [epoch + number / steps for number in range(len(order))])
            except ValueError as error:
                if "more than 1 value per channel" not in str(error):  # as torch's BatchNorm says it
                    raise
                raise InputError(f"{label}: BatchNorm cannot take the statistics of a batch of one example; raise the batch_size") from None
            means = _means(distributed.mean(history), names, epoch * steps, label, model)
            model.eval()
            after_epoch(min(1.0, (epoch + 1) * steps / total_steps))
            reached = evaluate()
            row = {"epoch": epoch + 1, **means, **reached, "seconds": time.perf_counter() - start}
            curve.append({key: value if key == "epoch" else round(value, 5) for key, value in row.items()})
            progress.set_postfix_str(", ".join(f"{key.removeprefix('validation_').removesuffix('_percent')} {value:.4g}"
                                               for key, value in {**reached, **means}.items()))  # what fits in the line, that first
            if distributed.first():
                keeper.keep(curve)
    optimizer.zero_grad(set_to_none=True)
    model.eval().to(memory_format=torch.contiguous_format)
    return curve


def seed_draws(train: Split | Loaded, seed: int) -> None:
    """Of torch, and of what the loader draws from generators of its own."""
    torch.manual_seed(seed)
    if isinstance(train, Loaded):
        train.seed(seed)


def _eager_steps(step: Callable[[Tensor, float, tuple[Tensor, Tensor]], Tensor], schedule: torch.optim.lr_scheduler.LRScheduler,
                 train: Split | Loaded, order: Tensor, epochs_done: Sequence[float]) -> Tensor:
    """The steps of one epoch.  order: (steps, B) indices  -> (steps, terms)"""
    history = []  # stays on the device: reading a value at every step would make a GPU wait
    for indices, done, pair in zip(order, epochs_done, train.pairs(list(order)), strict=True):
        history.append(step(indices, done, pair))
        if _broken(history[-1]):
            break  # with the weights as they were when it broke
        schedule.step()
    return torch.stack(history)


def descend(optimizer: torch.optim.Optimizer, terms: Terms, look: bool = False) -> Tensor:
    """One step down the gradient of the sum of the terms, or none where one is not finite, if we `look`.  -> (terms,) their values"""
    values = torch.stack(list(terms.values()))
    optimizer.zero_grad(set_to_none=True)
    if not (look and _broken(values)):  # else every weight would become NaN, and none would be left to blame
        values.sum().backward()
        optimizer.step()
    return values.detach()


def _broken(values: Tensor) -> bool:
    """Whether a term is not finite, where that can be asked at every step: a GPU would wait, and of a group all have to go the same way."""
    return not values.is_cuda and not distributed.active() and not math.isfinite(values.sum().item())


def make_optimizer(model: nn.Module, settings: StepSettings,
                   lr_factors: Mapping[str, float] = MappingProxyType({})) -> torch.optim.Optimizer:
    """Weight decay acts on the weights of linear and convolutional layers alone: not on biases, normalisation or noise.

    lr_factors: by name of a parameter, what its learning rate is multiplied by; 1 for those not named."""
    alike: dict[tuple[bool, float], list[nn.Parameter]] = {(True, 1.0): [], (False, 1.0): []}  # (whether decayed, factor)
    for name, parameter in model.named_parameters():
        alike.setdefault((name.endswith("weight") and parameter.ndim > 1, lr_factors.get(name, 1.0)), []).append(parameter)
    groups = [{"params": parameters, "weight_decay": settings.weight_decay * decayed, "lr": settings.lr * factor}
              for (decayed, factor), parameters in alike.items()]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=settings.lr, fused=True)
    return torch.optim.SGD(groups, lr=settings.lr, momentum=0.9, nesterov=True, fused=True)


def _noisy(images: Tensor, settings: StepSettings) -> Tensor:
    if settings.input_noise:
        images = images + settings.input_noise * torch.randn_like(images)
    return F.dropout(images, settings.input_dropout) if settings.input_dropout else images


def _means(history: Tensor, names: list[str], steps_before: int, label: str, model: nn.Module) -> dict[str, float]:
    """The mean of every term over an epoch's steps.  (steps, terms) -> {name: mean}"""
    broken = (~history.isfinite()).nonzero()
    if len(broken):
        step, term = broken[0].tolist()
        raise InputError(f"{label} stopped: the term {names[term]} became {history[step, term].item()} at step {steps_before + step + 1}; "
                         f"{_suspect(model)}; lower the learning rate, or look at the data")
    return dict(zip(names, history.mean(0).tolist(), strict=True))


@torch.no_grad()
def _suspect(model: nn.Module) -> str:
    """Where the numbers of a training that broke are the largest."""
    largest = {name: parameter.abs().max().item() for name, parameter in model.named_parameters() if parameter.numel()}
    broken = [name for name, value in largest.items() if not math.isfinite(value)]
    if broken:
        return f"{len(broken)} of {len(largest)} tensors are not finite, {broken[0]} the first"
    name = max(largest, key=largest.__getitem__)
    return f"the largest number stands in {name}, {largest[name]:.3g}"
