"""The network being carved, as an animation: what of it stands out of its own noise, over the epochs of the Bayesian training.

    dvc exp run -S bayesian.snapshots=48                         48 frames of the training, in models/snapshots.npz; report.html has them
    python -m stages.carve                                       plots/carved.webp
    python -m stages.carve --into docs/carved.webp --most 600    of at most 600 KiB; a name in .gif does too

An entry is gone where its log alpha, noise over signal, is above the threshold: that of the cut, or 0 where another order chose it."""

import argparse
from pathlib import Path

from sparsify import artifacts
from sparsify.settings import InputError
from stages import film, params, runtime
from stages.carve_picture import Frames
from stages.program import program

INTO = runtime.PLOTS / "carved.webp"


def carve(frames: Frames, threshold: float, path: Path, most: int) -> int:
    """Writes the animation in at most `most` bytes, the same for the same frames; returns how many. Raises InputError."""
    if path.suffix not in (".webp", ".gif"):
        raise InputError(f"the animation is to be {path}; its name has to end in .webp or .gif")
    if "epoch" not in frames:
        raise InputError(f"{runtime.SNAPSHOTS} has no frames; run dvc exp run -S bayesian.snapshots=48 prune, which keeps 48")
    content = film.animated(film.images(frames, threshold), most, path.suffix)
    artifacts.write_bytes(path, content)
    return len(content)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.carve", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", metavar="FILE", type=Path, default=INTO, help=f"a .webp or .gif; {INTO} without it")
    parser.add_argument("--most", metavar="KIB", type=int, default=film.MOST, help=f"how large it may be; {film.MOST} without it")
    arguments = parser.parse_args()
    with program():
        threshold = film.cut_at(runtime.METRICS / "prune.json", params.load().prune.order)
        try:
            frames = film.read(runtime.SNAPSHOTS)
        except artifacts.FileError as error:
            raise InputError(f"{error}; run dvc repro prune, with bayesian.snapshots above 0") from None
        size = carve(frames, threshold, arguments.into, 1024 * arguments.most)
    print(f"{arguments.into}: {size / 1024:.0f} KiB, threshold {threshold:.2f}")


if __name__ == "__main__":
    main()
