"""Time of a forward pass: contenders in turn, after a warm-up, with the device waited for; medians and spread."""

import time
from collections.abc import Mapping

import torch
from torch import Tensor, nn


@torch.inference_mode()
def latencies_ms(contenders: Mapping[str, nn.Module], images: Tensor, repeats: int, min_round_ms: float = 1.0) -> dict[str, list[float]]:
    """Milliseconds of one forward pass of `images`, `repeats` times a contender, interleaved.

    One time is the mean of a round of passes that lasts `min_round_ms`, as a single pass can be shorter than the clock is good for."""
    passes = {}
    for name, model in contenders.items():
        model.eval()
        once = min(_round_ms(model, images, 1) for _ in range(3))  # the warm-up too
        passes[name] = max(1, round(min_round_ms / max(once, 1e-3)))
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, model in contenders.items():
            times[name].append(_round_ms(model, images, passes[name]))
    return times


def quartiles(times: list[float]) -> tuple[float, float, float]:
    """25 %, median, 75 %"""
    low, median, high = torch.tensor(times, dtype=torch.float64).quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)).tolist()
    return low, median, high


def _round_ms(model: nn.Module, images: Tensor, passes: int) -> float:
    _wait(images.device)
    start = time.perf_counter()
    for _ in range(passes):
        model(images)
        _wait(images.device)  # after each: passes that queue up would show the throughput
    return 1e3 * (time.perf_counter() - start) / passes


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
