"""The animation of a training from its frames: what stages/carve.py writes and report.html holds."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from sparsify import artifacts
from sparsify.settings import InputError
from stages.carve_picture import Frames, picture

QUALITIES = (85, 70, 55, 40, 25, 10)  # of WebP; a GIF has as many colours; the first that is small enough is taken
FASTEST, SLOWEST, WHOLE, LAST = 110, 400, 5000, 2500  # milliseconds: a frame, all of them, and how long the last one stays
DPI = 90
MOST = 1024  # KiB


def read(path: Path) -> dict[str, np.ndarray]:
    """Frames as stages/snapshots.py writes them.  Raises FileError for a file that is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as content:
            return dict(content)
    except FileNotFoundError:
        raise artifacts.FileError(f"{path} does not exist") from None
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise artifacts.FileError(f"{path} cannot be read ({type(error).__name__})") from None


def images(frames: Frames, threshold: float) -> list[Image.Image]:
    figure, update = picture(frames, threshold)
    found = []
    for number in tqdm(range(len(frames["epoch"])), desc="carve", unit=" frames", disable=None, leave=None):
        update(number)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=DPI)
        found.append(Image.open(content).convert("RGB"))
    return found


def animated(images: list[Image.Image], most: int, kind: str = ".webp") -> bytes:
    """At most `most` of them, the best that fits.  kind: .webp or .gif  Raises InputError where none does."""
    for quality in QUALITIES:
        content = _encoded(images, kind, quality)
        if len(content) <= most:
            return content
    raise InputError(f"{len(images)} frames take {len(content):,} bytes, and may take {most:,}; lower bayesian.snapshots, or raise --most")


def _milliseconds(frames: int) -> int:
    return min(SLOWEST, max(FASTEST, WHOLE // frames))


def _encoded(images: list[Image.Image], kind: str, quality: int) -> bytes:
    content, durations = io.BytesIO(), [_milliseconds(len(images))] * (len(images) - 1) + [LAST]
    if kind == ".gif":
        images = [image.quantize(quality) for image in images]
        images[0].save(content, "gif", save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=True)
    else:
        images[0].save(content, "webp", save_all=True, append_images=images[1:], duration=durations, loop=0, quality=quality)
    return content.getvalue()


def cut_at(prune: Path, order: str) -> float:
    """The threshold of log alpha at which the present run was cut; 0 where it was not, or by the scores of another order.

    prune: its metrics"""
    if order != "log_alpha" or not prune.is_file():
        return 0.0
    return float(json.loads(prune.read_text())["prune"]["threshold"])
