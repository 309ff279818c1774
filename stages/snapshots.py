"""Frames of the Bayesian training, for the animation that stages/carve.py draws: a few small tensors a frame, whatever the network's size.

In the file, by name, with the frames along the first dimension (N, ...), log alpha being noise over signal:

    epoch            after which it was taken; 0: before the training
    units/STREAM     log alpha of a stream's units, in order, at most UNITS of them
    weights/TENSOR   of single weights, at most UNITS of a tensor
    filters          what units of the first layer look for, at most FILTERS pictures (F, H, W), and filters_alpha, in the same shape: of
                     WATCHED that were watched, half those that are most relevant at the end, half any others
    matrix           at most SIDE rows and columns of a large layer, kernels as their norms, and matrix_alpha, in the same shape; those of
                     WATCHED_SIDE, chosen likewise
    pixels           of an image that linear layers read: log alpha where pixels may leave (pixels_leave), else the norms of their columns
    image            the mean training image (H, W), once

An entry's log alpha is the largest of those of its row, its column and itself; -inf: nothing can take it away."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparsify import artifacts, data
from sparsify.bayes.convert import Scores, log_alphas
from sparsify.structure import Structure

UNITS, WATCHED_SIDE, SIDE, WATCHED, FILTERS, LARGEST, EXAMPLES = 1024, 128, 64, 100, 25, 32, 1024

Frame = dict[str, Tensor]


class Snapshots(nn.Module):
    """Of a twin, `count` frames beside the first. A module, so that they are kept with the training's state."""

    def __init__(self, twin: nn.Module, structure: Structure, count: int, epochs: int, images: data.Split):
        """structure: of the plain network; images: the training set"""
        super().__init__()
        self._twin, self._structure, self._epoch = (twin,), structure, 0  # a tuple registers nothing
        self._due = {0, *np.linspace(1, max(1, epochs), count).round().astype(int).tolist()} if count else set()
        self._frames: Frame = {}  # with room for all, so that a state has the same form at every epoch
        self._taken = 0
        self._shape = tuple(images.shape) if len(images.shape) == 3 else ()
        weights = {name: weight for name, weight in twin.named_parameters() if name in structure.uses and weight.ndim > 1}
        self._first = next(iter(weights), None)
        others = {name: min(weight.shape[:2]) for name, weight in weights.items() if name != self._first}
        self._matrix = max(others, key=others.__getitem__, default=self._first)
        self._image = images[:EXAMPLES].mean((0, 1)).half().cpu() if count and self._shape else None
        self._take()

    def after_epoch(self) -> None:
        self._epoch += 1
        self._take()

    def get_extra_state(self) -> dict[str, object]:
        return {"epoch": self._epoch, "taken": self._taken, "frames": self._frames}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self._epoch, self._taken, self._frames = state["epoch"], state["taken"], state["frames"]

    def write(self, path: Path) -> None:
        """The same bytes for the same frames; without frames a file that holds none."""
        found = {key: frames[:self._taken].numpy() for key, frames in self._frames.items()}
        if "filters" in found:
            shown = _telling(found["filters_alpha"][-1].reshape(found["filters"].shape[1], -1).min(1), FILTERS)
            found |= {key: found[key][:, shown] for key in ("filters", "filters_alpha")}
        if "matrix" in found:
            rows, columns = (_telling(found["matrix_alpha"][-1].min(other), SIDE) for other in (1, 0))
            found |= {key: found[key][:, rows][:, :, columns] for key in ("matrix", "matrix_alpha")}
        if self._image is not None:
            found["image"] = self._image.numpy()
        content = io.BytesIO()
        np.savez_compressed(content, **found)  # type: ignore[arg-type]  # its stubs take `**` for a flag
        artifacts.write_bytes(path, content.getvalue())

    @torch.no_grad()
    def _take(self) -> None:
        if self._epoch not in self._due:
            return
        scores = log_alphas(self._twin[0])
        frame = {"epoch": torch.tensor(self._epoch)}
        frame |= {f"units/{name}": _some(score) for name, score in scores.units.items()}
        frame |= {f"weights/{name}": _some(score.flatten()) for name, score in scores.weights.items()}
        if self._first and self._matrix:
            frame |= self._of_first(self._first, scores) | self._of_matrix(self._matrix, scores)
        for key, value in frame.items():
            small = (value.half() if value.is_floating_point() else value).cpu()
            self._frames.setdefault(key, small.new_zeros(len(self._due), *small.shape))[self._taken] = small
        self._taken += 1

    def _of_first(self, name: str, scores: Scores) -> Frame:
        weight = self._twin[0].get_parameter(name)
        alpha, pictures = self._alpha(name, weight, scores), self._reads_pixels(weight)
        frame: Frame = {}
        if pictures or (weight.ndim == 4 and min(weight.shape[2:]) > 1):
            shape = (len(weight), *(self._shape if pictures else weight.shape[1:]))
            values, alphas = (each.reshape(shape).mean(1) for each in (weight, alpha))
            step = -(-max(shape[2:]) // LARGEST)
            frame = {"filters": _some(values, WATCHED)[:, ::step, ::step], "filters_alpha": _some(alphas, WATCHED)[:, ::step, ::step]}
        if pictures:
            leave = self._along(name, 1, weight, scores)
            norms = (weight.square() / (1 + alpha.exp())).sum(0).sqrt()
            can = leave.isfinite().any()
            frame |= {"pixels_leave": can, "pixels": (leave if can else norms).reshape(self._shape)[0]}
        return frame

    def _of_matrix(self, name: str, scores: Scores) -> Frame:
        weight = self._twin[0].get_parameter(name)
        alpha = self._alpha(name, weight, scores)
        values, alphas = (weight, alpha) if weight.ndim == 2 else (weight.flatten(2).norm(dim=2), alpha.flatten(2).amin(2))
        return {key: _some(_some(each, WATCHED_SIDE).T, WATCHED_SIDE).T for key, each in (("matrix", values), ("matrix_alpha", alphas))}

    def _reads_pixels(self, weight: Tensor) -> bool:
        return weight.ndim == 2 and self._shape[:1] == (1,) and weight.shape[1] == self._shape[1] * self._shape[2]

    def _alpha(self, name: str, weight: Tensor, scores: Scores) -> Tensor:
        """Of every entry of a weight, in its shape."""
        alpha = scores.weights[name].clone() if name in scores.weights else torch.full_like(weight, -torch.inf)
        for dim in (0, 1):
            along = self._along(name, dim, weight, scores)
            alpha = torch.maximum(alpha, along.reshape(-1, *[1] * (weight.ndim - 1 - dim)))
        return alpha

    def _along(self, name: str, dim: int, weight: Tensor, scores: Scores) -> Tensor:
        """Of the units that own the rows (dim 0) or columns (1).  -> (rows or columns,)"""
        found = weight.new_full((weight.shape[dim],), -torch.inf)
        for stream, score in scores.units.items():
            for slot in self._structure.streams[stream].slots:
                if (slot.tensor, slot.dim) == (name, dim):
                    index = slot.index.to(found.device)
                    found[index] = score[:, None].expand(index.shape).to(found)
        return found


def _telling(alpha: np.ndarray, most: int) -> np.ndarray:
    """Which to show, in order, by their log alpha at the end: few stay, and any few would show nothing but dead ones."""
    relevant, others = np.split(alpha.argsort(kind="stable"), [min(most // 2, len(alpha))])
    rest = others[np.linspace(0, len(others) - 1, min(most - len(relevant), len(others))).round().astype(int)]
    return np.sort(np.concatenate([relevant, rest]))


def _some(values: Tensor, most: int = UNITS) -> Tensor:
    """Evenly spaced along the first dimension, at most so many."""
    return values if len(values) <= most else values[torch.linspace(0, len(values) - 1, most).round().long().to(values.device)]
