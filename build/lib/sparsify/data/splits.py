"""What networks are trained and measured on: inputs as they are stored, normalised a batch at a time."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsify.data.mapped import Mapped

CPU_BATCH, CPU_BATCH_VALUES = 1000, 1 << 22  # of the inputs that a CPU is given at a time: 1,000, or fewer if they are large
GPU_BATCH_VALUES = 1 << 22  # likewise a GPU: 1,365 images of CIFAR-10, so that its kernels outlast their launch


@dataclass(frozen=True, eq=False)
class Scaling:
    """How stored inputs become what networks are given: (x / unit - mean) / std.

    mean, std: (C,) float32, by channel of an image or by feature of a row. unit: 255 for bytes, 1 for other numbers."""

    mean: Tensor
    std: Tensor
    unit: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "_shifts", bool(self.mean.any()))  # asked here once: a GPU would wait for it at every batch

    def to(self, device: torch.device | str) -> "Scaling":
        return Scaling(self.mean.to(device), self.std.to(device), self.unit)

    def __call__(self, inputs: Tensor) -> Tensor:
        """(N, C, ...) of any dtype -> (N, C, ...) float32. Leaves `inputs` as they are."""
        mean, std = (values.reshape(-1, *[1] * (inputs.ndim - 2)) for values in (self.mean, self.std))
        values = inputs.to(torch.float32, copy=True)
        if self.unit != 1:
            values.div_(self.unit)
        if self._shifts:  # type: ignore[attr-defined]
            values.sub_(mean)
        return values.div_(std)


@dataclass(frozen=True, eq=False)
class Split:
    """`split[indices]` and `split[start:stop]` are normalised inputs (B, ...) on the device of the labels; `len(split)` is N.

    inputs: (N, ...) as stored, on that device, or Mapped where they stay in their file. labels: (N,) int64, or other targets (N, ...).
    scaling: None if the inputs are normalised already."""

    inputs: Tensor | Mapped
    labels: Tensor
    scaling: Scaling | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input."""
        return tuple(self.inputs.shape[1:])

    @property
    def mapped(self) -> bool:
        return isinstance(self.inputs, Mapped)

    @property
    def device(self) -> torch.device:
        return self.labels.device

    def steps(self, batch_size: int) -> int:
        """Full batches in an epoch."""
        return len(self) // min(batch_size, len(self))

    def order(self, batch_size: int) -> Tensor:
        """An epoch's examples, drawn anew.  -> (steps, B) indices"""
        steps = self.steps(batch_size)
        return torch.randperm(len(self), device=self.device)[:steps * min(batch_size, len(self))].view(steps, -1)

    def pairs(self, order: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and labels for each of `order`."""
        for indices, inputs in zip(order, self.batches(order), strict=True):
            yield inputs, self.labels[indices]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All of it in order: inputs and labels, batch by batch."""
        start = 0
        for inputs in self.in_order():
            yield inputs, self.labels[start:start + len(inputs)]
            start += len(inputs)

    def __getitem__(self, indices: Tensor | slice) -> Tensor:
        if isinstance(self.inputs, Tensor) and isinstance(indices, Tensor):
            return self._normalised(self.inputs.index_select(0, indices))
        return self._normalised(self.inputs[indices])

    def batches(self, order: Sequence[Tensor]) -> Iterator[Tensor]:
        """`split[indices]` for each of `order`, read ahead where the inputs stay in their file."""
        if isinstance(self.inputs, Mapped):
            yield from map(self._normalised, self.inputs.batches(order, pin=self.labels.is_cuda))
        else:
            for indices in order:
                yield self[indices]

    def in_order(self, batch_size: int | None = None) -> Iterator[Tensor]:
        """All inputs, batch by batch.  batch_size: as many as suit the device if not given"""
        size = batch_size or self._suitable()
        if self.mapped:
            yield from self.batches(torch.arange(len(self)).split(size))
        else:
            for start in range(0, len(self), size):
                yield self[start:start + size]

    def _suitable(self) -> int:
        values = math.prod(self.shape)
        return max(1, GPU_BATCH_VALUES // values if self.labels.is_cuda else min(CPU_BATCH, CPU_BATCH_VALUES // values))

    def _normalised(self, inputs: Tensor) -> Tensor:
        inputs = inputs.to(self.labels.device, non_blocking=True)
        return self.scaling(inputs) if self.scaling else inputs


@dataclass(frozen=True)
class Dataset:
    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]  # their names, in the order of the labels

    @property
    def n_classes(self) -> int:
        return len(self.classes)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one input: (channels, height, width) of an image, (features,) of a row."""
        return self.train.shape

    @property
    def scaling(self) -> Scaling | None:
        return self.train.scaling
