"""What may be wrong with a working directory: each function harms the present one in a way that it draws, and says what it did."""

import contextlib
import io
import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import safetensors.torch
import torch
import yaml
from PIL import Image

from benchmarks.faults.mutations import harmed, harmed_bytes, harmed_text
from sparsify import artifacts, data, models
from stages import runtime

TOP = Path(__file__).parents[2]
SHAPE, CLASSES = (1, 28, 28), 3
STATE = Path("scratch/state.pt")
TABLES = {"inputs": ("np.random.rand(20, 5)", "np.full((20, 5), np.nan)", "np.ones((20, 5))", "[['a'] * 5] * 20", "[[1, 2], [3]]", "None",
                     "np.zeros((0, 5))", "np.zeros((20, 0))", "np.random.rand(20, 1, 6, 6) * 1e300", "object()",
                     "np.ones((20, 5), complex)",
                     "torch.rand(20, 5, requires_grad=True)", "torch.rand(20, 5).to_sparse()", "torch.rand(20)", "'text'", "{1: 2}",
                     "np.arange(20 * 25, dtype=np.uint8).reshape(20, 1, 5, 5)", "pandas.DataFrame({'a': ['x'] * 20, 'b': range(20)})",
                     "pandas.DataFrame({'a': pandas.date_range('2020', periods=20)})", "iter(())",
                     "np.random.rand(20, 5).astype('>f8')"),
          "labels": ("np.arange(20) % 2", "np.arange(20) % 2", "-np.ones(20, int)", "np.full(20, np.nan)", "np.zeros(20, int)",
                     "np.arange(20)", "['a'] * 20", "np.full(20, 2**62)", "None", "np.arange(19) % 2", "[True, False] * 10", "5",
                     "np.full(20, 2**63, np.uint64)",
                     "torch.arange(20) % 3", "[torch.tensor(1)] * 20", "[[0]] * 20", "range(20)", "pandas.Series(['x'] * 20)"),
          "returned": ("(a, a)", "(a, a)", "(a, a)", "(a, b)", "a", "(a,)", "None", "1 / 0", "sys.exit()", "exit(3)",
                       "(a, None)", "[a, [1, 2]]", "(Items(a), Items(a))", "(Items(None), a)", "(iter(()), a)", "load", "(gif, gif)")}
TABLE = """import io, sys
import numpy as np, pandas, torch
from PIL import Image
class Items(torch.utils.data.Dataset):
    def __init__(self, pair): self.pair = pair
    def __len__(self): return 20
    def __getitem__(self, n): return self.pair[0][n], self.pair[1][n]
def load():
    a, b = ({inputs}, {labels}), (np.random.rand(9, 4), np.arange(9) % 2)
    frames = [Image.new("L", (6, 6), n) for n in (1, 2)]
    moving = io.BytesIO()
    frames[0].save(moving, format="GIF", save_all=True, append_images=frames[1:])
    gif = Items(([Image.open(moving)] * 20, np.arange(20) % 2))
    return {returned}
"""


def table(draw: Random) -> str:
    chosen = {key: draw.choice(values) for key, values in TABLES.items()}
    Path("odd_table.py").write_text(TABLE.format(**chosen))
    _put(data={"name": "odd_table:load", "validation": 2, "size": draw.choice((None, None, 4)), "channels": draw.choice((None, None, 3))})
    return str(chosen)


def _put(**sections: Any) -> None:
    content = yaml.safe_load(Path("params.yaml").read_text())
    for section, values in sections.items():
        content[section] |= values
    Path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def params(draw: Random) -> str:
    path = Path("params.yaml")
    if draw.random() < 0.02:
        path.unlink()
        draw.choice((path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to("/dev/zero"), lambda: path.symlink_to(path)))()
        return "no file"
    if draw.random() < 0.5:
        path.write_bytes(harmed_text(path.read_text(), draw))
        return path.read_bytes()[:9000].decode(errors="replace")
    content = harmed(yaml.safe_load(path.read_text()), draw)
    with contextlib.suppress(yaml.YAMLError, ValueError):
        path.write_text(yaml.safe_dump(content, sort_keys=False))
    return str(content)[:3000] if len(str(content)) < 9000 else "large"


def recipe(draw: Random) -> str:
    shutil.copytree(TOP / "conf", "conf")
    path = Path("conf", draw.choice(("config.yaml", "recipe/default.yaml", "recipe/smoke.yaml")))
    path.write_bytes(harmed_text(path.read_text(), draw))
    return f"{path}: {path.read_bytes()[:5000]!r}"


def _claimed(width: int, height: int) -> bytes:
    """A PNG of some bytes that claims to be large."""
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def _picture(draw: Random) -> bytes:
    mode = draw.choice(("L", "RGB", "RGBA", "P", "1", "I;16", "CMYK", "F"))
    image, content = Image.new(mode, (draw.choice((1, 8, 28, 300)), draw.choice((1, 8, 28)))), io.BytesIO()
    with contextlib.suppress(Exception):  # not every format has every mode
        image.save(content, draw.choice(("PNG", "JPEG", "BMP", "WEBP", "PPM", "GIF", "TIFF", "AVIF", "DDS", "ICO")),
                   **draw.choice(({}, {"save_all": True, "append_images": [image, image]})))
    return content.getvalue()


def folder(draw: Random) -> str:
    mirror, many = draw.random() < 0.3, 5
    _put(data={"name": "mnist" if mirror else "folder", "path": "pictures", "validation": 2, "skip_unreadable": draw.random() < 0.3,
               **({} if mirror else {"size": draw.choice((None, 8, 28, 200)), "channels": draw.choice((None, 1, 3))})})
    top = Path("pictures/mnist" if mirror else "pictures")
    parts, names = ("train", "test"), ("a", "b")
    if draw.random() < 0.3:
        parts = draw.choice((("",), ("train",), ("test",), ("train", "test", "more")))
    elif draw.random() < 0.3:
        names, many = draw.choice((("a",), ("a", "b\nc"), ("a", ".b"), ("a", "\udcff"), ("train", "test"))), draw.choice((0, 1, 5))
    for folder in (top / part / name for part in parts for name in names):
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(many):
            Image.new("L", (28, 28), number * 40).save(folder / f"{number}.png")
    folders = [path for path in Path("pictures").rglob("*") if path.is_dir()] or [Path()]
    done = []
    for _ in range(draw.choice((1, 1, 2))):
        folder = draw.choice(folders)
        path = folder / draw.choice(("0.png", "x.jpg", "x.bmp", "new\nline.png", "x.webp", "\x1b[2J.ppm"))
        ways: list[Callable[[], Any]] = [
            lambda p=path: p.write_bytes(_picture(draw)), lambda p=path: p.write_bytes(harmed_bytes(_picture(draw), draw)),
            lambda p=path: p.write_bytes(_claimed(*draw.choice(((60000, 60000), (20000, 9000), (1 << 31 - 1, 1), (0, 9))))),
            lambda p=path: p.mkdir(), lambda p=path: os.mkfifo(p), lambda p=path: p.symlink_to("/dev/zero"),
            lambda p=path: p.symlink_to(p), lambda p=path: p.write_bytes(b"\0\0\0\x20ftypavif" + draw.randbytes(300)),
            lambda p=path: p.write_bytes(b"DDS |\0\0\0" + draw.randbytes(300)), lambda p=path: p.write_bytes(b"BLP2" + draw.randbytes(300)),
            lambda p=folder: shutil.rmtree(p, ignore_errors=True), lambda p=path: p.write_bytes(b"P5 99999 99999 255\n")]
        with contextlib.suppress(OSError):  # of what the one before has left there
            path.unlink(missing_ok=True)
            draw.choice(ways)()
        done.append(repr(str(path)))
    return ", ".join(done)


def dataset(draw: Random) -> str:
    path = runtime.DATASET / draw.choice((*(f"{part}.npy" for part in data.PARTS), "inputs.npy", "labels.npy", "about.json", "about.json"))
    if path.suffix == ".json" and draw.random() < 0.6:
        path.write_text(json.dumps(harmed(json.loads(path.read_text()), draw)))
    elif path.suffix == ".npy" and draw.random() < 0.6:
        odd = draw.choice((np.full(60, np.nan), np.zeros(0, np.int64), np.array(1), np.array([-1]), np.array([10**9]), np.array(["a"]),
                           np.zeros((60, 2)), np.full(60, 7), np.zeros(60, np.int8), np.zeros((60, 1, 28, 28))))
        np.save(path, odd, allow_pickle=False)
    else:
        path.write_bytes(harmed_bytes(path.read_bytes(), draw))
    return path.name


def network(draw: Random) -> str:
    path = runtime.COMPACT
    if draw.random() < 0.5:
        path.write_bytes(harmed_bytes(path.read_bytes(), draw))
        return "bytes"
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:8 + length])
    if draw.random() < 0.7:
        header["__metadata__"]["sparsify"] = json.dumps(harmed(json.loads(header["__metadata__"]["sparsify"]), draw))
    else:
        header = harmed(header, draw)
    with contextlib.suppress(ValueError):
        written = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(written)) + written + content[8 + length:])
    return str(header)[:2000]


def weights(draw: Random) -> str:
    path = Path(f"weights{draw.choice(('.pt', '.pt', '.safetensors'))}")
    good = dict(architecture().build().state_dict())
    odd = draw.choice((good, good, {"state_dict": good}, [good], 3, {"a": 3}, {1: torch.ones(1)}, {name: tensor.double() for name, tensor in
                       good.items()}, {name: tensor.to_sparse() for name, tensor in good.items()}, torch.ones(3), {}, print, Random))
    if path.suffix == ".pt":
        torch.save(odd, path)
    else:
        safetensors.torch.save_file(good, path)
    if draw.random() < 0.6:
        path.write_bytes(harmed_bytes(path.read_bytes(), draw))
    if draw.random() < 0.03:
        path.unlink()
        draw.choice((path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to("/dev/zero")))()
    _put(model={"path": str(path), "weights": str(path)}, baseline={"epochs": 0})
    return f"{path.name}: {type(odd).__name__}"


def state(draw: Random) -> str:
    if draw.random() < 0.4:
        STATE.write_bytes(harmed_bytes(STATE.read_bytes(), draw))
        return "bytes"
    content = artifacts.read_tensors(STATE)
    changed = harmed(content, draw)
    artifacts.write_tensors(STATE, changed if isinstance(changed, dict) else {"parts": changed})
    return str(changed)[:2000]


def report(draw: Random) -> str:
    path = draw.choice([*Path("metrics").glob("*.json"), *Path("plots").glob("*.csv")])
    if path.suffix == ".json" and draw.random() < 0.6:
        path.write_text(json.dumps(harmed(json.loads(path.read_text()), draw)))
    else:
        path.write_bytes(harmed_text(path.read_text(), draw))
    return path.name


def architecture() -> models.Architecture:
    return models.Architecture("lenet-300-100", SHAPE, CLASSES, 0.05)
