"""Whether a state that was read is of the form of the one that it shall replace: torch checks that of modules alone."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def check(found: Any, own: Any, where: str) -> None:
    """Raises ValueError, which names the place, where `found` has more than other numbers than `own`."""
    if isinstance(own, Mapping):
        if not isinstance(found, Mapping) or set(found) != set(own):
            raise ValueError(f"{where} has other keys")
        for key in own:
            check(found[key], own[key], f"{where}.{key}")
    elif isinstance(own, list | tuple):
        if not isinstance(found, list | tuple) or len(found) != len(own):
            raise ValueError(f"{where} is no list of {len(own)}")
        for number, (each, mine) in enumerate(zip(found, own, strict=True)):
            check(each, mine, f"{where}[{number}]")
    elif _is_number(own) and not isinstance(own, Tensor):
        if not _is_number(found):
            raise ValueError(f"{where} is no finite number")
    elif isinstance(own, Tensor):
        if not isinstance(found, Tensor) or found.shape != own.shape or found.dtype != own.dtype:
            raise ValueError(f"{where} is no tensor of shape {tuple(own.shape)}")
    elif type(found) is not type(own) or (isinstance(own, str | bool) and found != own):
        raise ValueError(f"{where} is not {own!r}")


def check_optimizer(found: Any, optimizer: torch.optim.Optimizer) -> None:
    """The same of an optimiser, whose own state begins with its first step."""
    check(found, optimizer.state_dict() | {"state": found["state"]}, "optimizer")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if len({frozenset(moments) for moments in found["state"].values()}) > 1:
        raise ValueError("optimizer.state has other keys for one parameter than for another")
    for number, moments in found["state"].items():
        for name, moment in moments.items():
            if name != "step":
                check(moment, parameters[number].detach(), f"optimizer.state.{number}.{name}")
            elif not isinstance(moment, Tensor) or not _is_number(moment):
                raise ValueError(f"optimizer.state.{number}.step is no number")


def check_schedule(found: Any, own: Mapping[str, Any]) -> None:
    """The same of a schedule of so many steps."""
    check(found, own, "schedule")
    if [found[key] for key in ("total_steps", "_schedule_phases")] != [own[key] for key in ("total_steps", "_schedule_phases")]:
        raise ValueError("schedule is of another length")
    if not (type(found["last_epoch"]) is int and 0 <= found["last_epoch"] <= found["total_steps"]):
        raise ValueError(f"schedule.last_epoch is not from 0 to {found['total_steps']}")


def check_curve(found: Any) -> None:
    """Raises ValueError for what is no list of rows, one an epoch, each of numbers by name."""
    if not isinstance(found, list) or not all(isinstance(row, Mapping) and "seconds" in row and all(map(_is_number, row.values()))
                                              for row in found):
        raise ValueError("curve is no list of an epoch's figures")


def _is_number(value: Any) -> bool:
    """Also of the tensors that stand for numbers while steps are captured."""
    if isinstance(value, Tensor):
        return value.numel() == 1 and value.ndim == 0 and value.dtype.is_floating_point
    return type(value) in (int, float) and -1e300 < value < 1e300
