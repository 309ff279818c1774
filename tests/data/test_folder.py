"""A folder of images becomes the data set that torchvision's transforms say, or one line that names what is wrong."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from sparsify import data
from sparsify.data import examples, folder
from sparsify.settings import InputError

RANDOM = np.random.default_rng(0)


def picture(width: int = 9, height: int = 8, mode: str = "RGB") -> Image.Image:
    return Image.fromarray(RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)


def write(path: Path, image: Image.Image | None = None, **how) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or picture()).save(path, **how)
    return path


def fill(top: Path, classes=("cat", "dog"), n: int = 5) -> Path:
    for name in classes:
        for number in range(n):
            write(top / name / f"{number}.png")
    return top


def save(top: Path, to: Path, size=None, channels=None, skip=False, n_validation: int = 2) -> data.Dataset:
    found = folder.read(top, size, channels)
    data.save(to, found.train, found.test, n_validation, 0, found.classes, skip)
    return data.load(to)


def error(top: Path, tmp_path: Path, **how) -> str:
    with pytest.raises(InputError) as caught:
        save(top, tmp_path / "d", **how)
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.iterdir() if path != top]  # nothing half-written
    return str(caught.value)


def pixels(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.array(np.load(path / "inputs.npy")))


def test_train_and_test_come_from_their_folders(tmp_path):
    fill(tmp_path / "top/train", n=4)
    fill(tmp_path / "top/test", ["dog"], n=2)
    dataset = save(tmp_path / "top", tmp_path / "d")
    assert (dataset.classes, dataset.input_shape) == (("cat", "dog"), (3, 8, 9))
    assert (len(dataset.train), len(dataset.validation), dataset.test.labels.tolist()) == (6, 2, [1, 1])
    files = [f"train/{name}/{number}.png" for name in ("cat", "dog") for number in range(4)] + ["test/dog/0.png", "test/dog/1.png"]
    expected = torch.stack([torch.from_numpy(np.array(Image.open(tmp_path / "top" / file))).permute(2, 0, 1) for file in files])
    assert torch.equal(pixels(tmp_path / "d"), expected)


def test_class_folders_alone_are_split_by_the_seed(tmp_path):
    fill(tmp_path / "top", ["a", "b", "c"], n=10)
    dataset = save(tmp_path / "top", tmp_path / "d", n_validation=3)
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [21, 3, 6]
    assert dataset.test.labels.bincount().tolist() == [2, 2, 2]


@pytest.mark.parametrize("names", [("train", "car", "plane"), ("test", "exam")])
def test_folders_that_hold_images_are_classes_whatever_they_are_called(names, tmp_path):
    assert save(fill(tmp_path / "top", names), tmp_path / "d").classes == tuple(sorted(names))


@pytest.mark.parametrize("channels", [1, 3])
def test_size_and_channels_are_torchvisions_transforms(channels, tmp_path):
    shapes = [(40, 30), (30, 41), (16, 16), (100, 17), (5, 7)]
    images = [picture(*shape) for shape in shapes]
    for name in ("a", "b"):
        for number, image in enumerate(images):
            write(tmp_path / "top" / name / f"{number}.png", image)
    dataset = save(tmp_path / "top", tmp_path / "d", size=16, channels=channels)
    transform = v2.Compose([v2.Resize(16, antialias=True), v2.CenterCrop(16), v2.Grayscale(1) if channels == 1 else v2.RGB(),
                            v2.PILToTensor()])
    expected = torch.stack([transform(image) for image in images])
    assert dataset.input_shape == (channels, 16, 16)
    assert torch.equal(pixels(tmp_path / "d"), expected.repeat(2, 1, 1, 1))


FORMATS = [("a.png", "RGB", {}), ("a.PNG", "RGBA", {}), ("a.png", "P", {}), ("a.png", "LA", {}), ("a.png", "1", {}), ("a.png", "L", {}),
           ("a.jpg", "RGB", {"quality": 100, "subsampling": 0}), ("a.JPEG", "L", {"quality": 100}), ("a.jpg", "CMYK", {"quality": 100}),
           ("a.webp", "RGB", {"lossless": True}), ("a.webp", "RGBA", {"lossless": True}), ("a.bmp", "RGB", {}), ("a.bmp", "P", {}),
           ("a.png", "P", {"transparency": bytes([0, 255])})]


@pytest.mark.parametrize(("name", "mode", "how"), FORMATS, ids=[f"{name} {mode}{' transparent' * bool(how.get('transparency'))}"
                                                               for name, mode, how in FORMATS])
def test_every_format_and_mode_is_read(name, mode, how, tmp_path):
    smooth = Image.fromarray(np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)).convert(mode)
    fill(tmp_path / "top")
    path = write(tmp_path / "top/cat" / f"0{name}", smooth, **how)
    found = folder.read(tmp_path / "top", 16, 3).train
    number = [found._path(number) for number in range(len(found))].index(path)
    expected = v2.functional.pil_to_tensor(v2.functional.resize(smooth.convert("RGB"), [16, 16]))
    assert (found[number][0].int() - expected.int()).abs().max() <= 8  # what JPEG loses, at quality 100


def test_an_image_is_turned_as_its_camera_was(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter to the right
    image = picture(20, 10)
    write(tmp_path / "top/a/0.png", image, exif=turned)
    assert torch.equal(folder.images.read(tmp_path / "top/a/0.png", folder.images.Prepare()),
                       v2.functional.pil_to_tensor(image.rotate(-90, expand=True)))


def test_a_telephones_jpeg_with_a_preview_is_one_image(tmp_path):
    path = write(tmp_path / "a.jpg", picture(20, 10), format="MPO", save_all=True, append_images=[picture(4, 2)])
    assert Image.open(path).is_animated  # Pillow's word for it
    assert folder.images.read(path, folder.images.Prepare()).shape == (3, 10, 20)


def test_a_large_jpeg_is_not_decoded_in_full(tmp_path, monkeypatch):
    path, sizes = write(tmp_path / "a.jpg", picture(1600, 1200)), []
    monkeypatch.setattr(folder.images, "plain", lambda image: sizes.append(image.size) or image.convert("RGB"))
    assert folder.images.read(path, folder.images.Prepare(size=32)).shape == (3, 32, 32)
    assert sizes == [(200, 150)]


def test_what_is_no_image_is_passed_over(tmp_path):
    top = fill(tmp_path / "top")
    for name in ("cat/notes.txt", "cat/deeper/0.png", ".hidden/0.png", "__MACOSX/0.png", "cat/._0.png", "Thumbs.db", "readme.png"):
        (top / name).parent.mkdir(exist_ok=True)
        (top / name).write_text("no image")
    dataset = save(top, tmp_path / "d")
    assert dataset.classes == ("cat", "dog") and len(pixels(tmp_path / "d")) == 10


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:len(path.read_bytes()) // 2])


def bomb(path: Path, side: int = 15_000) -> None:
    """A small file that says that its image has 225 million pixels; Pillow refuses from 179 million on, and warns from 89."""
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b""))


def sixteen(path: Path) -> None:
    Image.fromarray(np.full((8, 9), 999, np.uint16)).save(path)


def sixteen_in_colour(path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    rows = b"".join(b"\0" + bytes(9 * 6) for _ in range(8))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 8, 16, 2, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def animated(path: Path) -> None:
    content = io.BytesIO()
    picture().save(content, "PNG", save_all=True, append_images=[picture()])
    path.write_bytes(content.getvalue())


UNREADABLE = {"cut short": (cut, ""), "bomb": (bomb, "decompression bomb"),
              "bomb that Pillow only warns of": (lambda p: bomb(p, 10_000), "decompression bomb"),
              "16 bits": (sixteen, "8 bits a channel"), "16 bits in colour": (sixteen_in_colour, "8 bits a channel"),
              "animated": (animated, "animated"), "text": (lambda p: p.write_text("no image"), "cannot identify"),
              "empty": (lambda p: p.write_bytes(b""), ""), "a sliver": (lambda p: write(p, picture(60_000, 1)), "too long")}


def to_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere.png")


def to_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def other_format(path: Path) -> None:
    path.write_bytes(b"\0\0\0\x20ftypavif" + bytes(200))


def test_a_name_that_is_no_text_is_told_in_one_line(tmp_path, capsys):
    top = fill(tmp_path / "top")
    (top / "dog/\udcff\n.png").write_bytes(b"no image")
    assert "dog/\\udcff\\n.png" in error(top, tmp_path)
    save(top, tmp_path / "d", skip=True)
    said = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert len(said) == 1 and "dog/\\udcff\\n.png" in said[0]


UNREADABLE |= {"link to nowhere": (to_nowhere, "No such file"), "link to a pipe": (to_a_pipe, "not a file"),
               "AVIF": (other_format, "cannot identify")}


@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize("skip", [False, True])
def test_an_image_that_cannot_be_read_stops_the_run_or_is_left_out(kind, skip, tmp_path, capsys):
    spoil, words = UNREADABLE[kind]
    top = fill(tmp_path / "top")
    spoil(top / "dog/3.png")
    how = {"size": 40} if kind == "a sliver" else {}
    if not skip:
        said = error(top, tmp_path, **how)
        assert said.startswith(f"1 of 10 images cannot be read: {top / 'dog/3.png'} (") and "data.skip_unreadable" in said
    else:
        dataset = save(top, tmp_path / "d", skip=True, **how)
        assert sum(map(len, (dataset.train, dataset.validation, dataset.test))) == 9
        [said] = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
        assert said.startswith(f"1 of 10 images cannot be read and are left out: {top / 'dog/3.png'} (")
        rows = torch.cat([torch.from_numpy(np.load(tmp_path / "d" / f"{part}.npy")) for part in data.PARTS])
        assert sorted(rows.tolist()) == [0, 1, 2, 3, 4, 5, 6, 7, 9]
    assert words in said


@pytest.mark.parametrize("n", [10, 12])
def test_up_to_ten_are_named_with_their_number(n, tmp_path):
    top = fill(tmp_path / "top", n=40)  # read by several processes
    for number in range(n):
        cut(top / f"cat/{number}.png")
    said = error(top, tmp_path)
    assert said.startswith(f"{n} of 80 images cannot be read: ")
    assert said.count(".png (") == 10 and (", ..." in said) == (n > 10)


def test_memory_does_not_grow_with_the_files(tmp_path):
    """Workers write into the file; what they send back has no pixels."""
    found = folder.read(fill(tmp_path / "top"), None, None)
    like = examples.like(found.train)
    np.lib.format.open_memmap(tmp_path / "i.npy", "w+", np.uint8, (10, *like.shape)).flush()
    outcomes = examples._Copier(found.train, tmp_path / "i.npy", 0)[range(10)]
    assert [type(value) for outcome in outcomes for value in outcome] == 10 * [int, int, str, str]


def odd(top: Path, path: str, image: Image.Image) -> None:
    write(top / path, image)


@pytest.mark.parametrize(("make", "words"), [
    (lambda top: None, "which does not exist"),
    (lambda top: top.write_text("a file"), "which is a file"),
    (lambda top: top.mkdir(), "holds no images"),
    (lambda top: write(top / "0.png"), "holds no images"),
    (lambda top: fill(top, ["cat"]), "has one class, cat; two or more"),
    (lambda top: (fill(top), (top / "eel").mkdir()), "eel holds no images"),
    (lambda top: (fill(top), write(top / "eel/0.png")), r"fewer than two examples to learn from: eel (1)"),
    (lambda top: (fill(top / "train"), fill(top / "test"), write(top / "test/eel/0.png")), "has the classes eel in test/ alone"),
    (lambda top: (fill(top / "train"), fill(top / "test"), write(top / "train/eel/0.png")), r"learn from: eel (1)"),
    (lambda top: fill(top / "train"), "holds train/ and no test/"),
    (lambda top: (fill(top / "train"), fill(top / "valid")), "holds train/ and no test/"),
    (lambda top: (fill(top / "train"), (top / "test").mkdir()), "test holds no images"),
    (lambda top: (fill(top), odd(top, "dog/2.png", picture(8, 8))), "dog/2.png is 8x8 with 3 channels; the images before it are 9x8"),
    (lambda top: (fill(top), odd(top, "dog/2.png", picture(9, 8, "L"))), "dog/2.png is 9x8 with 1 channel; "),
    (lambda top: (fill(top / "train"), odd(top, "test/dog/0.png", picture(8, 8))), "test/dog/0.png is 8x8"),
    (lambda top: [cut(path) for path in fill(top).rglob("*.png")], "10 of 10 images cannot be read"),
])
def test_a_folder_that_cannot_be_used_is_one_line(make, words, tmp_path):
    top = tmp_path / "top"
    make(top)
    said = error(top, tmp_path, skip=True)
    assert str(top) in said or "learn from" in said
    assert words in said


def test_images_of_any_size_are_read_once_a_size_is_set(tmp_path):
    top = fill(tmp_path / "top")
    write(top / "dog/2.png", picture(12, 12, "L"))
    assert "set data.size" in error(top, tmp_path)
    assert save(top, tmp_path / "d", size=8, channels=3).input_shape == (3, 8, 8)
