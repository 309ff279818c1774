"""The data set as one file of tensors, split into train, validation and test; on the device it is one tensor a split."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsify import artifacts
from sparsify.datasets import Raw
from sparsify.settings import InputError

PARTS = ("train", "validation", "test")


class Split(NamedTuple):
    """Images (N, C, H, W) float32, normalised, and labels (N,) int64."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Dataset:
    train: Split
    validation: Split
    test: Split
    n_classes: int

    @property
    def input_shape(self) -> tuple[int, int, int]:
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width


def save(path: Path, train: Raw, test: Raw, n_validation: int, seed: int) -> None:
    """Splits `n_validation` images off `train` at random and writes everything as uint8.

    Colour images are normalised a channel to mean 0 and deviation 1. Grey ones are only scaled: their background stays
    exactly zero, so that a pixel that is always dark carries nothing and can leave the network. Raises InputError."""
    n = len(train.images)
    if not 1 <= n_validation < n:
        raise InputError(f"data.validation is {n_validation}; it has to be from 1 to {n - 1}, as there are {n} images to train on")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    held, kept = order[:n_validation], order[n_validation:]
    parts = {"train": (train.images[kept], train.labels[kept]),
             "validation": (train.images[held], train.labels[held]),
             "test": (test.images, test.labels)}
    pixels = parts["train"][0].transpose(0, 1).flatten(1).double() / 255  # (C, N * H * W)
    grey = len(pixels) == 1
    mean = torch.zeros(1, dtype=torch.float64) if grey else pixels.mean(1)
    std = (pixels - mean[:, None]).square().mean(1).sqrt()
    if not std.all():
        raise InputError("the training images have a channel that is the same everywhere; there is nothing to learn from it")
    content = {"mean": mean.float(), "std": std.float(), "n_classes": int(train.labels.max()) + 1}
    for part, (images, labels) in parts.items():
        content[f"{part}_images"], content[f"{part}_labels"] = images.contiguous(), labels.contiguous()
    artifacts.write_tensors(path, content)


def load(path: Path, device: torch.device | str = "cpu") -> Dataset:
    """What `save` wrote, normalised, on `device`. Raises FileError."""
    content = artifacts.read_tensors(path)
    needed = ["mean", "std", "n_classes", *(f"{part}_{kind}" for part in PARTS for kind in ("images", "labels"))]
    if missing := [name for name in needed if name not in content]:
        raise artifacts.FileError(f"{path} is not a data set: it lacks {', '.join(missing)}")
    mean, std = (content[key].to(device).reshape(1, -1, 1, 1) for key in ("mean", "std"))
    splits = {part: Split((content[f"{part}_images"].to(device).float() / 255 - mean) / std, content[f"{part}_labels"].to(device))
              for part in PARTS}
    return Dataset(**splits, n_classes=content["n_classes"])


def crop_and_flip(images: Tensor, padding: int = 4) -> Tensor:
    """Each image shifted by up to `padding` pixels, zeros coming in, and mirrored or not: one gather for the batch.

    (N, C, H, W) -> (N, C, H, W)"""
    n, _, height, width = images.shape
    padded = F.pad(images, [padding] * 4)
    down, right, mirrored = (torch.randint(high, (n, 1), device=images.device) for high in (2 * padding + 1, 2 * padding + 1, 2))
    rows = down + torch.arange(height, device=images.device)  # (N, H)
    columns = right + torch.arange(width, device=images.device)  # (N, W)
    columns = torch.where(mirrored.bool(), columns.flip(1), columns)
    batch = torch.arange(n, device=images.device)
    return padded.permute(0, 2, 3, 1)[batch[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
