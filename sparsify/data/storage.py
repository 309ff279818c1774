"""The data set as one file of tensors, split into train, validation and test; on the device it is one tensor a split."""

from pathlib import Path

import torch

from sparsify import artifacts
from sparsify.data.named import Raw
from sparsify.data.splits import Dataset, Split
from sparsify.settings import InputError

PARTS = ("train", "validation", "test")


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
