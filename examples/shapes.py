"""A folder of photos to try the pipeline on: circles, squares and triangles on noise, in colour, as JPEG and PNG.

    python -m examples.shapes

writes examples/shapes/train/<class>/ and examples/shapes/test/<class>/ in a second or two. The same seed gives the same pictures."""

import argparse
import math
import os
import shutil
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CORNERS = {"circle": 60, "square": 4, "triangle": 3}  # all are regular polygons
SIDE, FINER = 64, 4  # pixels; outlines are drawn this many times as large, and are smooth when they are made small
AREA = 300, 1100  # of a shape, pixels
TILT = 0.25  # radians, to either side
NOISE = 25  # standard deviation, of 255


def picture(corners: int, random: np.random.Generator) -> Image.Image:
    """One shape, brighter than the ground, of random colour, size and place. The classes are equally large: the outline alone tells them
    apart."""
    radius = math.sqrt(random.uniform(*AREA) / (corners / 2 * math.sin(2 * math.pi / corners)))
    x, y = random.uniform(radius, SIDE - radius, 2)
    turn = (0.5 + 1 / corners) * math.pi + random.uniform(-TILT, TILT)  # on a side
    outline = [(FINER * (x + radius * math.cos(turn + 2 * math.pi * n / corners)),
                FINER * (y + radius * math.sin(turn + 2 * math.pi * n / corners))) for n in range(corners)]
    mask = Image.new("L", (FINER * SIDE, FINER * SIDE))
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    inside = np.asarray(mask.resize((SIDE, SIDE), Image.Resampling.BOX))[:, :, None] / 255
    ground, shift = random.uniform(50, 130, 3), random.uniform(60, 110, 3)
    values = ground + inside * shift + random.normal(0, NOISE, (SIDE, SIDE, 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def write(folder: Path, counts: dict[str, int], seed: int) -> None:
    """Half JPEG, half PNG, in place of what was at `folder`.  counts: pictures of each class, by part"""
    random, temporary = np.random.default_rng(seed), folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        for part, count in counts.items():
            for name, corners in CORNERS.items():
                (temporary / part / name).mkdir(parents=True)
                for number in range(count):
                    path = temporary / part / name / f"{number:03}.{'png' if number % 2 else 'jpg'}"
                    picture(corners, random).save(path, quality=90)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draws a folder of pictures: circles, squares and triangles.")
    parser.add_argument("--into", type=Path, default=Path("examples/shapes"), help="the folder, which is written anew")
    parser.add_argument("--train", type=int, default=150, help="pictures of each class to train on")
    parser.add_argument("--test", type=int, default=60, help="and to test on")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    write(chosen.into, {"train": chosen.train, "test": chosen.test}, chosen.seed)
