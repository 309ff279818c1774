"""How long a step takes: contenders in turn by the clock, the operations of one by torch's profiler, on a GPU its kernels."""

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch

from benchmarks import report

Step = Callable[[], object]
Name = TypeVar("Name")


def milliseconds(steps: Mapping[Name, Step], rounds: int, per_round: int) -> dict[Name, list[float]]:
    """Of one step, `rounds` times a contender, after a warm-up."""
    for step in steps.values():
        for _ in range(3):
            step()
    times: dict[Name, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            _wait()
            start = time.perf_counter()
            for _ in range(per_round):
                step()
            _wait()
            times[name].append(1e3 * (time.perf_counter() - start) / per_round)
    return times


def where_time_goes(step: Step, steps: int = 50) -> list[report.Row]:
    """The operations that take at least two percent of the CPU's time, the most costly first."""
    for _ in range(steps):  # memory that is taken for the first time costs more than the operation that asks for it
        step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for _ in range(steps):
            step()
    operations = sorted(profiler.key_averages(), key=lambda operation: -operation.self_cpu_time_total)
    total = sum(operation.self_cpu_time_total for operation in operations)
    shares = [(operation.key, operation.count / steps, 100 * operation.self_cpu_time_total / total) for operation in operations]
    return [{"operation": name, "calls a step": calls, "% of the time": share} for name, calls, share in shares if share >= 2]


def kernels(step: Step, steps: int = 10) -> dict[str, float]:
    """How many kernels and copies a GPU runs in one step, and for how long in all; nothing where there is no GPU."""
    if not torch.cuda.is_available():
        return {}
    _wait()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        for _ in range(steps):
            step()
        _wait()
    times = [event.time_range.elapsed_us() for event in profiler.events()
             if event.device_type == torch.autograd.DeviceType.CUDA and not event.is_user_annotation]
    return {"kernels": len(times) / steps, "kernel_ms": round(1e-3 * sum(times) / steps, 4)}


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
