"""Examples that stay in their file: mapped into memory, and read ahead by workers of torch's DataLoader."""

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

WORKERS = 4  # at most, for reading ahead


class Mapped(TorchDataset[Tensor]):
    """`rows` of the array in the file `path` (.npy), in that order; whatever is taken of it is read then."""

    def __init__(self, path: Path, rows: Tensor):
        self._path, self._rows = path, rows.numpy()

    @cached_property
    def _array(self) -> Any:
        return np.load(self._path, mmap_mode="r")

    def __getstate__(self) -> dict[str, Any]:  # a worker that is not forked maps the file anew
        return {name: value for name, value in vars(self).items() if name != "_array"}

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self._rows), *self._array.shape[1:]

    def __getitem__(self, indices: Tensor | slice) -> Tensor:
        """On the CPU."""
        return torch.from_numpy(np.asarray(self._array[self._rows[indices if isinstance(indices, slice) else indices.cpu().numpy()]]))

    def batches(self, order: Sequence[Tensor], pin: bool) -> Iterator[Tensor]:
        """Of each indices in `order`.  pin: into memory that a GPU copies from while it computes"""
        order = [indices.cpu() for indices in order]
        workers = min(cores(), WORKERS) if len(order) > 2 else 0
        yield from DataLoader(self, batch_size=None, sampler=order, num_workers=workers, pin_memory=pin,
                              multiprocessing_context="fork" if workers else None,
                              generator=torch.Generator())  # else it would draw from the global one, and change what training draws


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))
