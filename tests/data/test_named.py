"""Every way for images to come in gives them exactly, or one InputError that names the path; nothing here uses a network."""

import gzip
import hashlib
import http.client
import io
import os
import pickle
import re
import socket
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets as tv

from sparsify import data
from sparsify.data import named as sources
from sparsify.settings import InputError

MIRROR = os.environ.get("SPARSIFY_MIRROR")
RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def network(monkeypatch):
    """There is none; the list holds what was asked of it."""
    asked = []

    def refuse(*arguments, **_):
        asked.append(arguments)
        raise urllib.error.URLError("no network")
    for place, name in ((urllib.request, "urlopen"), (socket, "create_connection"), (socket.socket, "connect")):
        monkeypatch.setattr(place, name, refuse)
    return asked


def write_folders(folder: Path, channels: int = 1, n: int = 3) -> dict[str, list[np.ndarray]]:
    """`n` images a class of 9x8 pixels, in two classes, as PNGs; and the images of each split in order."""
    images = {}
    for part in ("train", "test"):
        images[part] = [RANDOM.integers(0, 256, (8, 9, 3) if channels == 3 else (8, 9), dtype=np.uint8) for _ in range(2 * n)]
        for number, image in enumerate(images[part]):
            path = folder / part / ("cat" if number < n else "dog") / f"{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return images


@pytest.mark.parametrize("channels", [1, 3])
def test_image_folders_come_back_pixel_by_pixel(channels, tmp_path, network):
    written = write_folders(tmp_path / "cifar10", channels)
    train, test, classes = sources.fetch("cifar10", tmp_path, seed=0)
    assert classes == ("cat", "dog")
    for part, found in (("train", train), ("test", test)):
        images, labels = zip(*(found[number] for number in range(len(found))), strict=True)
        np.testing.assert_array_equal(np.stack(images), np.stack(written[part]).reshape(6, 8, 9, channels).transpose(0, 3, 1, 2))
        assert labels == (0, 0, 0, 1, 1, 1)
    assert not network


def save(path: Path, shape: tuple[int, ...], dtype: type = np.uint8) -> None:
    Image.fromarray(np.full(shape, 99, dtype)).save(path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:len(path.read_bytes()) // 2])


def empty(folder: Path) -> None:
    for file in folder.rglob("*.png"):
        file.unlink()


@pytest.mark.parametrize(("spoil", "named"), [
    (lambda f: (f / "test/cat").rename(f / "test/cow"), "cow"),
    (lambda f: (f / "train/eel").mkdir(), "eel"),
    (lambda f: save(f / "train/dog/05.png", (9, 8)), "train/dog/05.png"),
    (lambda f: save(f / "train/dog/05.png", (8, 9, 3)), "train/dog/05.png"),
    (lambda f: [save(file, (8, 9), np.uint16) for file in f.rglob("*.png")], "00.png"),
    (lambda f: [save(file, (9, 8)) for file in (f / "test").rglob("*.png")], "test"),
    (lambda f: [save(file, (8, 9, 3)) for file in (f / "test").rglob("*.png")], "test"),
    (lambda f: cut(f / "train/cat/01.png"), "train/cat/01.png"),
    (lambda f: (f / "test/cat/01.png").write_text("no image"), "test/cat/01.png"),
    (lambda f: empty(f / "train"), "train"),
    (lambda f: empty(f / "test"), "test"),
    (lambda f: empty(f / "train/dog"), "train/dog"),
], ids=["other class", "one class more", "other size", "one in colour", "16 bits", "test of other size", "test in colour", "cut short",
        "no image", "train without images", "test without images", "class without images"])
def test_spoilt_image_folder_is_one_error_that_names_the_place(spoil, named, tmp_path):
    write_folders(tmp_path / "mnist")
    spoil(tmp_path / "mnist")
    with pytest.raises(InputError) as caught:
        train, test, classes = sources.fetch("mnist", tmp_path, seed=0)
        data.save(tmp_path / "dataset", train, test, 1, 0, classes)
    assert str(tmp_path / "mnist") in str(caught.value)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["mnist"]


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
@pytest.mark.parametrize(("folders", "words"), [
    ([], "is not a directory"), (["other"], "holds no copy of"), (["{}/train", "{}/test"], "train holds no images")],
    ids=["no mirror", "no data set", "no classes"])
def test_mirror_without_the_data_is_named_and_not_replaced_by_a_download(folders, words, name, tmp_path, network):
    mirror = tmp_path / "mirror"
    for folder in folders:
        (mirror / folder.format(name)).mkdir(parents=True)
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        sources.fetch(name, mirror, seed=0)
    assert str(mirror) in str(caught.value)
    assert name in str(caught.value)
    assert not network


def idx(array: np.ndarray) -> bytes:
    """The format at the foot of yann.lecun.com/exdb/mnist: 0, 0, 8 (bytes), the number of axes, each length, the values."""
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes())


@pytest.fixture
def canonical_mnist(tmp_path, monkeypatch):
    """A small MNIST in its canonical files, which the table of checksums takes for the real one; images and labels by split."""
    parts = {part: (RANDOM.integers(0, 256, (n, 28, 28), dtype=np.uint8), RANDOM.integers(0, 10, n, dtype=np.uint8))
             for part, n in (("train", 7), ("t10k", 3))}
    files = {f"{part}-{kind}.gz": idx(array) for part, (images, labels) in parts.items()
             for kind, array in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels))}
    (tmp_path / "mnist").mkdir()
    for name, content in files.items():
        (tmp_path / "mnist" / name).write_bytes(content)
    trust(monkeypatch, "mnist", {name: hashlib.md5(content).hexdigest() for name, content in files.items()})
    monkeypatch.setattr(tv.MNIST, "resources", list(sources._SOURCES["mnist"].files.items()))
    return parts


def trust(monkeypatch, name: str, files: dict[str, str]) -> None:
    monkeypatch.setitem(sources._SOURCES, name, sources._SOURCES[name]._replace(files=files))


def test_canonical_files_come_back_pixel_by_pixel(canonical_mnist, tmp_path, network):
    for raw, (images, labels) in zip(sources.fetch("mnist", tmp_path, seed=0)[:2], canonical_mnist.values(), strict=True):
        np.testing.assert_array_equal(raw.inputs.numpy(), images[:, None])
        np.testing.assert_array_equal(raw.labels.numpy(), labels)
    assert not network


@pytest.mark.parametrize("file", ["train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"])
def test_altered_byte_in_a_canonical_file_is_refused(file, canonical_mnist, tmp_path, network):
    content = bytearray((tmp_path / "mnist" / file).read_bytes())
    content[-1] ^= 1
    (tmp_path / "mnist" / file).write_bytes(content)
    with pytest.raises(InputError, match="damaged") as caught:
        sources.fetch("mnist", tmp_path, seed=0)
    assert str(tmp_path / "mnist" / file) in str(caught.value)
    assert not network


def test_canonical_cifar10_comes_back_pixel_by_pixel(tmp_path, monkeypatch, network):
    content, md5s = io.BytesIO(), {}
    images = {name: RANDOM.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8) for name, n in (("data_batch_1", 6), ("test_batch", 2))}
    entries = {name: {"data": rows.reshape(-1, 3072), "labels": list(range(len(rows)))} for name, rows in images.items()}
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, entry in (entries | {"batches.meta": {"label_names": list("abcdefghij")}}).items():
            member, pickled = tarfile.TarInfo(f"{tv.CIFAR10.base_folder}/{name}"), pickle.dumps(entry)
            member.size, md5s[name] = len(pickled), hashlib.md5(pickled).hexdigest()
            tar.addfile(member, io.BytesIO(pickled))
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / tv.CIFAR10.filename).write_bytes(content.getvalue())
    tgz_md5 = hashlib.md5(content.getvalue()).hexdigest()
    trust(monkeypatch, "cifar10", {tv.CIFAR10.filename: tgz_md5})
    for attribute, value in {"tgz_md5": tgz_md5, "train_list": [["data_batch_1", md5s["data_batch_1"]]],
                             "test_list": [["test_batch", md5s["test_batch"]]],
                             "meta": tv.CIFAR10.meta | {"md5": md5s["batches.meta"]}}.items():
        monkeypatch.setattr(tv.CIFAR10, attribute, value)
    for raw, expected in zip(sources.fetch("cifar10", tmp_path, seed=0)[:2], images.values(), strict=True):
        np.testing.assert_array_equal(raw.inputs.numpy(), expected)
        assert raw.labels.tolist() == list(range(len(expected)))
    assert not network


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
@pytest.mark.parametrize(("error", "argument"), [
    (urllib.error.URLError, "no network"), (ConnectionResetError, "reset"), (http.client.IncompleteRead, b"the first bytes")])
def test_download_that_fails_points_to_the_mirror(error, argument, name, monkeypatch):
    def fail(*_, **__):
        raise error(argument)
    monkeypatch.setattr(urllib.request, "urlopen", fail)
    with pytest.raises(InputError, match="SPARSIFY_MIRROR") as caught:
        sources.fetch(name, None, seed=0)
    assert str(caught.value).startswith(name)
    assert "\n" not in str(caught.value)


def test_checksums_are_those_of_torchvision():
    for name, resources in (("mnist", tv.MNIST.resources), ("fashion-mnist", tv.FashionMNIST.resources),
                            ("cifar10", [(tv.CIFAR10.filename, tv.CIFAR10.tgz_md5)])):
        assert list(sources._SOURCES[name].files.items()) == list(resources)


@pytest.mark.skipif(not MIRROR, reason="SPARSIFY_MIRROR names no directory")
def test_real_mnist_has_its_published_size_and_mean(network):
    train, test, _ = sources.fetch("mnist", Path(MIRROR), seed=0)
    assert (len(train.inputs), len(test.inputs)) == (60_000, 10_000)
    assert train.inputs.double().mean().item() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert not network
