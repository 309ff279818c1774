"""How a training step grows: time and peak memory against the width of LeNet-300-100 and against the batch, and the exponents fitted.

    python -m benchmarks.scaling --threads 1

Each point of memory is measured in a process of its own, above what a first step of a tiny network leaves there; time in turns, over all
points and contenders, so that a machine that slows down does so for all of them."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import report
from benchmarks.timing import milliseconds
from benchmarks.training import contenders
from benchmarks.training import rows as training_rows
from stages import runtime, style

KINDS = ("dense", "gate", "gaussian", "log_uniform", "mixture")


Point = tuple[str, float, int]  # what grows, the width, the batch


def measure(points: list[Point], rounds: int) -> list[dict]:
    """One row a point and contender, in this process: the milliseconds of a step, and how many times the dense one."""
    steps = {(point, kind): step for point in points
             for kind, step in contenders("lenet-300-100", point[1], point[2], runtime.device(), KINDS).items()}
    times = milliseconds(steps, rounds, per_round=3)
    return [row for growing, width, batch_size in points for row in training_rows(
        {kind: times[(growing, width, batch_size), kind] for kind in KINDS}, growing=growing, width=width, batch=batch_size,
        weights=round(784 * 300 * width + 30000 * width**2 + 1000 * width))]


def peak_mib(width: float, batch_size: int, kind: str, model: str = "lenet-300-100") -> float:
    """What three steps of one contender take at most, in this process and above what a tiny network of its kind left behind."""
    contenders(model, 0.02, 1 if model == "lenet-300-100" else 2, runtime.device(), (kind,))[kind]()
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far
    start = _resident("VmRSS")
    step = contenders(model, width, batch_size, runtime.device(), (kind,))[kind]
    for _ in range(3):
        step()
    return (_resident("VmHWM") - start) / 1024


def _resident(key: str) -> int:
    """KiB of this process. getrusage would also count what its parent held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def exponents(rows: list[dict]) -> dict[tuple[str, str, str], float]:
    """By what grows, contender and column: the slope in logarithms."""
    lines = {(growing, kind): [row for row in rows if (row["growing"], row["step"]) == (growing, kind)]
             for growing in ("weights", "batch") for kind in KINDS}
    return {(*key, column): round(report.exponent([row[key[0]] for row in line], [row[column] for row in line]), 2)
            for key, line in lines.items() for column in ("ms_median", "peak_mib")}


def picture(rows: list[dict]) -> Figure:
    figure, slopes = style.figure(6.4, "A training step of LeNet-300-100: made wider (above), with more images (below)"), exponents(rows)
    columns = {"ms_median": "ms a step", "peak_mib": "peak memory (MiB)"}
    labels: dict[Axes, list[style.Label]] = {}
    for row_of_axes, (growing, what) in zip(figure.subplots(2, 2), (("weights", "weights"), ("batch", "images in a batch")), strict=True):
        for axes, (column, label) in zip(row_of_axes, columns.items(), strict=True):
            labels[axes] = []
            for kind in KINDS:
                line, look = [row for row in rows if row["step"] == kind and row["growing"] == growing], style.METHODS[kind]
                axes.loglog([row[growing] for row in line], [row[column] for row in line], marker=look.marker, color=look.color)
                labels[axes].append(style.Label(f"{kind} {slopes[growing, kind, column]:.2f}", line[-1][growing], line[-1][column],
                                                look.color))
            axes.set(xlabel=what, ylabel=label)
            style.log_ticks(axes.xaxis)
            style.log_ticks(axes.yaxis)
    figure.axes[0].set_title("beside each line: its exponent")
    for axes, ends in labels.items():
        style.label_ends(axes, ends)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=float, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32, 128, 512, 2048], help="at the first width")
    parser.add_argument("--batch-size", type=int, default=128, help="at all widths")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peak-of", choices=KINDS, help="print the peak of memory at the first width, and nothing else")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    runtime.keep_freed_memory()
    if arguments.peak_of:
        print(json.dumps(peak_mib(arguments.widths[0], arguments.batch_size, arguments.peak_of)))
        return
    points: list[Point] = [("weights", width, arguments.batch_size) for width in arguments.widths]
    points += [("batch", arguments.widths[0], batch_size) for batch_size in arguments.batch_sizes]
    about = report.provenance(threads=torch.get_num_threads(), rounds=arguments.rounds)
    rows = measure(points, arguments.rounds)
    for row in rows:
        command = [sys.executable, "-m", "benchmarks.scaling", "--widths", str(row["width"]), "--batch-size", str(row["batch"]),
                   "--threads", str(arguments.threads), "--peak-of", row["step"]]
        peak = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        row["peak_mib"] = round(peak, 1)
    about["exponents"] = {", ".join(key): value for key, value in exponents(rows).items()}
    print(about, report.table(rows), sep="\n")
    report.write("scaling", about, rows)
    style.save(report.RESULTS / "scaling.png", picture(rows))


if __name__ == "__main__":
    main()
