"""Training steps as one CUDA graph: Python walks through a step once, and the GPU then repeats it without waiting for Python.

Claim: on an H100 (torch 2.11, CUDA 13.0) the captured step is as long as its kernels and, at batch 128 in bfloat16, a VGG-16's is at
least 3.4 times as fast as the eager one, dense and with every prior; a LeNet-300-100's, at batch 256 in float32, at least 7 times.
    python -m benchmarks.training --model vgg16 --precision bfloat16 --batch-sizes 128 --only gate gaussian log_uniform mixture
    python -m benchmarks.training --batch-sizes 256 --only gate gaussian log_uniform mixture

All that differs from step to step lies in tensors that the graph reads at its own position: the batch's indices, the learning rates,
the epochs done. What Python does in a step it does once, so that a step which hangs on Python's own state cannot be captured. Such a
step is found out where that is possible, the reason is told, and training goes on eagerly, through the same tensors."""

import random
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from sparsify import distributed

WARM_UP = 3  # eager steps first, in which the libraries load their kernels and the optimiser makes its state

Step = Callable[[Tensor, Tensor], Tensor]  # indices (B,), epochs done () -> (terms,) the parts of the loss before the step
Run = Callable[[], object]


class Recorder:
    """What capturing asks of the device; the tests have one for a CPU."""

    def __init__(self, device: torch.device):
        self._side = torch.cuda.Stream(device)

    @contextmanager
    def stream(self) -> Iterator[None]:
        """For eager steps, capture and replays alike: autograd remembers on which stream it met a parameter, and the default stream
        cannot take part in a capture."""
        outside = torch.cuda.current_stream(self._side.device)
        self._side.wait_stream(outside)
        try:
            with torch.cuda.stream(self._side):
                yield
        finally:
            outside.wait_stream(self._side)

    @contextmanager
    def obstacles(self) -> Iterator[list[str]]:
        """-> what no graph can repeat of what is done within, filled at the end. A capture that finds out by itself that the host waits
        for the GPU breaks, and leaves torch's allocator in some disorder."""
        found: list[str] = []
        mode, drawn = torch.cuda.get_sync_debug_mode(), (torch.get_rng_state(), random.getstate())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                yield found
            finally:
                torch.cuda.set_sync_debug_mode(mode)
        for warning in caught:
            if "called a synchronizing CUDA operation" in str(warning.message):
                found.append(f"it waits for the GPU at {warning.filename}:{warning.lineno}")
            elif "prototype feature" not in str(warning.message):  # of the debug mode itself
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        if not torch.equal(drawn[0], torch.get_rng_state()) or drawn[1] != random.getstate():
            found.append("it draws random numbers on the CPU")

    def record(self, run: Run) -> Run:
        """Calls `run` without any effect on tensors, and returns what has that effect, over and over."""
        generator = torch.cuda.default_generators[self._side.device_index]
        spare, graph = generator.clone_state(), torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self._side):
                run()
        except Exception:
            generator.graphsafe_set_state(spare)  # the one of a broken capture refuses to draw ever again
            raise
        return partial(_replayed, graph, run)


def _replayed(graph: torch.cuda.CUDAGraph, kept: Run) -> None:
    """kept: what the graph was made of, as the graph does not keep the tensors that it reads and writes."""
    graph.replay()


def recorder_for(device: torch.device) -> Recorder | None:
    if device.type != "cuda":
        return None
    if distributed.active():
        if distributed.first():
            _tell("Steps of several processes, which wait for one another's gradients, are not captured as a CUDA graph.")
        return None
    return Recorder(device)


def record(recorder: Recorder, run: Run, optimizer: torch.optim.Optimizer) -> Run:
    """What repeats `run`, a step of `optimizer` that was taken WARM_UP times before."""
    optimizer.zero_grad(set_to_none=True)  # gradients of the graph's own are made within it
    groups = [group for group in optimizer.param_groups if "capturable" in group]
    try:
        for group in groups:
            group["capturable"] = True
        return recorder.record(run)
    finally:
        for group in groups:
            group["capturable"] = False


class _Tape(NamedTuple):
    """What the steps of an epoch read, each at its position."""

    position: Tensor  # (1,)
    order: Tensor  # (steps, B) indices
    epochs_done: Tensor  # (steps,)
    rates: Tensor  # (steps, groups) of the optimiser


class CapturedSteps:
    """Takes the steps of one epoch after the other.

    step: trains `model` with `optimizer`, whose learning rates `schedule` sets."""

    def __init__(self, step: Step, model: nn.Module, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler,
                 recorder: Recorder):
        self._step, self._model, self._optimizer, self._schedule, self._recorder = step, model, optimizer, schedule, recorder
        self._tape = _Tape(*[torch.empty(0)] * 4)  # made at the first call
        self._rates = self._history = torch.empty(0)
        self._taken = 0
        self._replay: Run | None = None
        self._capturable = True  # as far as is known
        self._places: dict[str, int] = {}  # where the graph found the model's tensors

    def __call__(self, order: Tensor, epochs_done: Sequence[float]) -> Tensor:
        """order: (steps, B) indices; no more steps than at the first call.  -> (steps, terms), overwritten by the next call"""
        if self._replay and self._places != _places(self._model):
            self._replay = None  # the model has moved between two epochs: another graph
        with self._recorder.stream():
            self._write(order, epochs_done)
            groups = self._optimizer.param_groups
            rates = [group["lr"] for group in groups]  # numbers, for the schedule and for what is saved
            try:
                for number, group in enumerate(groups):
                    group["lr"] = self._rates[0, number]
                for _ in epochs_done:
                    self._take()
            finally:
                for group, rate in zip(groups, rates, strict=True):
                    group["lr"] = rate
        return self._history[:len(epochs_done)]

    def _write(self, order: Tensor, epochs_done: Sequence[float]) -> None:
        rates = []
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")  # the steps that these are for are still to come
            for _ in epochs_done:
                rates.append([group["lr"] for group in self._optimizer.param_groups])
                self._schedule.step()
        content = _Tape(torch.zeros(1, dtype=torch.long), order, torch.tensor(epochs_done), torch.tensor(rates))
        if not len(self._tape.position):
            self._tape = _Tape(*(part.to(order.device, copy=True) for part in content))
            self._rates = torch.empty_like(self._tape.rates[:1])
        for kept, part in zip(self._tape, content, strict=True):
            kept[:len(part)].copy_(part)

    def _take(self) -> None:
        self._taken += 1
        if self._taken < WARM_UP:
            self._eagerly()
        elif self._taken == WARM_UP:
            self._watched()
        else:
            if self._replay is None and self._capturable:
                self._capture()
            (self._replay or self._eagerly)()

    def _eagerly(self) -> None:
        """A step as the tape says; this is what is captured."""
        position, order, epochs_done, rates = self._tape
        torch.index_select(rates, 0, position, out=self._rates)
        values = self._step(order.index_select(0, position)[0], epochs_done.index_select(0, position)[0])
        if not len(self._history):
            self._history = values.new_empty(len(order), len(values))
        self._history.index_copy_(0, position, values[None])
        position.add_(1)

    def _watched(self) -> None:
        """An eager step that shows whether any can be captured."""
        places = _places(self._model)
        with self._recorder.obstacles() as obstacles:
            self._eagerly()
        obstacles += [f"it puts another tensor in the place of {name}" for name, place in _places(self._model).items()
                      if places.get(name) != place]
        if obstacles:
            self._go_on_eagerly(obstacles[0])

    def _capture(self) -> None:
        try:
            self._replay, self._places = record(self._recorder, self._eagerly, self._optimizer), _places(self._model)
        except Exception as error:  # a defect of the step itself will show in the eager step that follows
            first = error.__context__ or error  # ending a broken capture fails too, with a less telling word
            self._go_on_eagerly((str(first).splitlines() or [type(first).__name__])[0][:200])

    def _go_on_eagerly(self, reason: str) -> None:
        self._capturable = False
        self._optimizer.zero_grad(set_to_none=True)  # those of a broken capture hold its memory
        _tell(f"A training step cannot be captured as a CUDA graph: {reason}. Training goes on without one, more slowly.")


def _places(model: nn.Module) -> dict[str, int]:
    """Where the model's tensors lie in memory."""
    return {name: tensor.data_ptr() for name, tensor in chain(model.named_parameters(), model.named_buffers())}


@cache
def _tell(line: str) -> None:
    """Once, however many trainings go through the same."""
    tqdm.write(line, file=sys.stderr)
