"""The network being carved, as an animation: what of it stands out of its own noise, over the epochs of the Bayesian training.

    dvc exp run -S bayesian.snapshots=48 prune                   48 frames of the training, in models/snapshots.npz
    python -m stages.carve                                       plots/carved.webp
    python -m stages.carve --into docs/carved.webp --most 600    of at most 600 KiB; a name in .gif does too

An entry is gone where its log alpha, noise over signal, is above the threshold: that of the cut, or 0 where another order chose it."""

import argparse
import io
import json
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from sparsify import artifacts
from sparsify.settings import InputError
from stages import params, runtime, snapshots
from stages.carve_picture import Frames, picture
from stages.program import program

QUALITIES = (85, 70, 55, 40, 25, 10)  # of WebP; a GIF has as many colours; the first that is small enough is taken
MILLISECONDS, LAST = 110, 2500  # a frame, and the last one
DPI = 90
INTO = runtime.PLOTS / "carved.webp"


def carve(frames: Frames, threshold: float, path: Path, most: int) -> int:
    """Writes the animation in at most `most` bytes, the same for the same frames; returns how many. Raises InputError."""
    if path.suffix not in (".webp", ".gif"):
        raise InputError(f"the animation is to be {path}; its name has to end in .webp or .gif")
    if "epoch" not in frames:
        raise InputError(f"{runtime.SNAPSHOTS} has no frames; run dvc exp run -S bayesian.snapshots=48 prune, which keeps 48")
    images = _images(frames, threshold)
    for quality in QUALITIES:
        content = _encoded(images, path.suffix, quality)
        if len(content) <= most:
            artifacts.write_bytes(path, content)
            return len(content)
    raise InputError(f"{len(images)} frames take {len(content):,} bytes, and may take {most:,}; lower bayesian.snapshots, or raise --most")


def _images(frames: Frames, threshold: float) -> list[Image.Image]:
    figure, update = picture(frames, threshold)
    images = []
    for number in tqdm(range(len(frames["epoch"])), desc="carve", unit=" frames", disable=None):
        update(number)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=DPI)
        images.append(Image.open(content).convert("RGB"))
    return images


def _encoded(images: list[Image.Image], kind: str, quality: int) -> bytes:
    content, durations = io.BytesIO(), [MILLISECONDS] * (len(images) - 1) + [LAST]
    if kind == ".gif":
        images = [image.quantize(quality) for image in images]
        images[0].save(content, "gif", save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=True)
    else:
        images[0].save(content, "webp", save_all=True, append_images=images[1:], duration=durations, loop=0, quality=quality, method=6)
    return content.getvalue()


def cut_at(prune: Path, order: str) -> float:
    """The threshold of log alpha at which the present run was cut; 0 where it was not, or by the scores of another order.

    prune: its metrics"""
    if order != "log_alpha" or not prune.is_file():
        return 0.0
    return float(json.loads(prune.read_text())["prune"]["threshold"])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.carve", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", metavar="FILE", type=Path, default=INTO, help=f"a .webp or .gif; {INTO} without it")
    parser.add_argument("--most", metavar="KIB", type=int, default=1024, help="how large it may be; 1024 without it")
    arguments = parser.parse_args()
    with program():
        threshold = cut_at(runtime.METRICS / "prune.json", params.load().prune.order)
        try:
            frames = snapshots.read(runtime.SNAPSHOTS)
        except artifacts.FileError as error:
            raise InputError(f"{error}; run dvc repro prune, with bayesian.snapshots above 0") from None
        size = carve(frames, threshold, arguments.into, 1024 * arguments.most)
    print(f"{arguments.into}: {size / 1024:.0f} KiB, threshold {threshold:.2f}")


if __name__ == "__main__":
    main()
