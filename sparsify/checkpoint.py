"""A training that was interrupted goes on where its last epoch ended, bit for bit: model, optimiser, schedule, random state, curve."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sparsify.artifacts import read_tensors, write_tensors
from sparsify.settings import InputError

Curve = list[dict[str, float]]
Parts = Mapping[str, Any]  # whatever has state_dict() and load_state_dict(), by name


def save(path: Path, parts: Parts, curve: Curve) -> None:
    """Never half-written: the file of the epoch before stays until this one is whole."""
    random = {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []}
    write_tensors(path, {"parts": {name: part.state_dict() for name, part in parts.items()}, "random": random, "curve": curve})


def seconds(path: Path) -> float:
    """What the epochs took whose state is in `path`; 0 if there is no such file."""
    return sum(row["seconds"] for row in read_tensors(path)["curve"]) if path.exists() else 0.0


def load(path: Path, parts: Parts) -> Curve:
    """Puts the state in `path` into the parts and into torch's generators, and returns the curve so far; if there is no such file
    nothing changes. Raises InputError for one that is damaged or of another training."""
    if not path.exists():
        return []
    content = read_tensors(path)
    try:
        for name, part in parts.items():
            part.load_state_dict(content["parts"][name])
        torch.set_rng_state(content["random"]["cpu"])
        if content["random"]["cuda"]:
            torch.cuda.set_rng_state_all(content["random"]["cuda"])
        return content["curve"]
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} is not the state of this training ({' '.join(str(error).split())[:100]}); "
                         "delete it to start from the first epoch") from None
