"""Memory that a piece of work takes: the peak of a process of its own, above what its imports had taken."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import torch

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")  # proc(5)
_WITHOUT_PEAK = "5"  # what resets the peak to what is resident now

K = TypeVar("K")
Work = tuple[Callable[..., Iterator[None]], tuple[Any, ...]]  # a generator function, and what it is called with, both to be pickled


def peaks(jobs: Mapping[K, Work], at_once: int) -> dict[K, list[int] | None]:
    """By job, the peak in bytes of each step of its generator but the first, which has only to import: resident memory above that
    after the first step, or, where the process has used a GPU, what torch has had there.

    at_once: processes at a time. None for a process that was lost, and where the system does not tell, as Linux alone does."""
    with ThreadPoolExecutor(at_once) as threads:
        return dict(zip(jobs, threads.map(_alone, jobs.values()), strict=True))


def _alone(work: Work) -> list[int] | None:
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        try:
            return process.submit(_measured, *work).result()
        except BrokenProcessPool:  # killed for its memory, say
            return None


def _measured(function: Callable[..., Iterator[None]], arguments: tuple[Any, ...]) -> list[int] | None:
    steps, found = function(*arguments), list[int]()
    next(steps)
    try:
        before = _resident("VmRSS")
        while True:
            _RESET.write_text(_WITHOUT_PEAK)
            if torch.cuda.is_initialized():
                torch.cuda.reset_peak_memory_stats()
            try:
                next(steps)
            except StopIteration:
                return found
            on_gpu = torch.cuda.is_initialized()
            found.append(torch.cuda.max_memory_allocated() if on_gpu else max(0, _resident("VmHWM") - before))
    except OSError:
        return None


def _resident(key: str) -> int:
    """Bytes: VmRSS now, VmHWM at the peak."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{key}:"))
    return 1024 * int(line.split()[1])
