"""How a training step grows: time and peak memory against the width of LeNet-300-100, and the exponents fitted.

    python -m benchmarks.scaling --threads 1

Each width is measured in a process of its own, as the peak of memory cannot be taken back; time in turns, dense and Bayesian."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from benchmarks import report
from benchmarks.training import contenders, milliseconds
from stages import runtime

KINDS = ("dense", "gate", "gaussian", "log_uniform", "mixture")


def measure(width: float, batch_size: int, rounds: int) -> list[dict]:
    """One row a contender, in this process: the milliseconds of a step."""
    steps = contenders("lenet-300-100", width, batch_size, runtime.device())
    times = milliseconds({kind: steps[kind] for kind in KINDS}, rounds, per_round=3)
    weights = round(784 * 300 * width + 30000 * width**2 + 1000 * width)
    return [{"step": kind, "width": width, "batch": batch_size, "weights": weights,
             **{f"ms_{key}": value for key, value in report.spread(times[kind]).items()}} for kind in KINDS]


def peak_mib(width: float, batch_size: int, kind: str) -> float:
    """What three steps of one contender take at most, in this process and above what it started with."""
    start = _resident("VmRSS")
    step = contenders("lenet-300-100", width, batch_size, runtime.device(), (kind,))[kind]
    for _ in range(3):
        step()
    return (_resident("VmHWM") - start) / 1024


def _resident(key: str) -> int:
    """KiB of this process. getrusage would also count what its parent held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def picture(rows: list[dict]) -> Figure:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, (column, label) in zip(figure.subplots(1, 2), (("ms_median", "ms a step"), ("peak_mib", "peak memory, MiB")), strict=True):
        for kind in KINDS:
            line = [row for row in rows if row["step"] == kind]
            slope = report.exponent([row["weights"] for row in line], [row[column] for row in line])
            axes.loglog([row["weights"] for row in line], [row[column] for row in line], "o-", markersize=4,
                        label=f"{kind}, exponent {slope:.2f}")
        axes.set(xlabel="weights", ylabel=label)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    figure.suptitle(f"A training step of LeNet-300-100, {rows[0]['width']:g} to {rows[-1]['width']:g} times as wide, "
                    f"batch {rows[0]['batch']}")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=float, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peak-of", choices=KINDS, help="print the peak of memory at the first width, and nothing else")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    runtime.keep_freed_memory()
    if arguments.peak_of:
        print(json.dumps(peak_mib(arguments.widths[0], arguments.batch_size, arguments.peak_of)))
        return
    rows = []
    for width in arguments.widths:
        for row in measure(width, arguments.batch_size, arguments.rounds):
            command = [sys.executable, "-m", "benchmarks.scaling", "--widths", str(width), "--batch-size", str(arguments.batch_size),
                       "--threads", str(arguments.threads), "--peak-of", row["step"]]
            peak = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
            rows.append({**row, "peak_mib": round(peak, 1)})
    about = report.provenance(threads=torch.get_num_threads(), rounds=arguments.rounds)
    print(about)
    print(report.table(rows))
    report.write("scaling", about, rows)
    picture(rows).savefig(report.RESULTS / "scaling.png", dpi=100)


if __name__ == "__main__":
    main()
