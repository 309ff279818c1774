"""How much memory is left, whatever limits it."""

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist

_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def free(device: torch.device | str) -> int:
    """Bytes that this process may still take: of the GPU's memory, or of the machine's, its control groups' and its own limits'.

    Processes that train together on CPUs share theirs. sys.maxsize where the system tells nothing."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return max(0, min(_machine(), *_control_groups(), *_own_limits())) // (dist.get_world_size() if _together() else 1)


def first() -> bool:
    """Of the processes that train together."""
    return not _together() or dist.get_rank() == 0


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()


def _machine() -> int:
    return _kilobytes(_PROC / "meminfo").get("MemAvailable", sys.maxsize)


def _own_limits() -> Iterator[int]:
    used = _kilobytes(_PROC / "self/status")
    for limit, key in ((resource.RLIMIT_DATA, "VmData"), (resource.RLIMIT_AS, "VmSize")):
        most = resource.getrlimit(limit)[0]
        yield sys.maxsize if most == resource.RLIM_INFINITY else most - used.get(key, 0)


def _control_groups() -> Iterator[int]:
    """What each control group of this process has left; pages of files that it keeps for no need count as free."""
    yield sys.maxsize
    for line in _text(_PROC / "self/cgroup").splitlines():
        number, controllers, name = line.split(":", 2)
        if number != "0" and "memory" not in controllers.split(","):
            continue
        root = _CGROUPS if number == "0" else _CGROUPS / "memory"  # version 2, version 1
        most, used = ("memory.max", "memory.current") if number == "0" else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        for group in (root / name.lstrip("/"), *(root / name.lstrip("/")).parents):
            if not group.is_relative_to(root):
                break
            limit, now = _text(group / most).strip(), _text(group / used).strip()
            if limit.isdigit() and now.isdigit():
                kept = dict(line.split() for line in _text(group / "memory.stat").splitlines() if line.count(" ") == 1)
                yield int(limit) - int(now) + int(kept.get("inactive_file", 0))


def _kilobytes(path: Path) -> dict[str, int]:
    """name -> bytes, of lines such as "MemAvailable:  123 kB" """
    lines = (line.split() for line in _text(path).splitlines())
    return {words[0].rstrip(":"): int(words[1]) << 10 for words in lines if len(words) == 3 and words[2] == "kB"}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
