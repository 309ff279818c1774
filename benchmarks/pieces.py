"""What odd pieces of code bring to a recipe's wall time: its trainings with all of them, and without each, in turn.

    python -m benchmarks.pieces
    python -m benchmarks.pieces -S recipe=mnist-lenet-300-100 --rounds 5

A piece that does not bring 3 % of the wall time of any recipe goes. On a shared machine the processor's time says more than the clock's."""

import argparse
import importlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tqdm import tqdm

from benchmarks import report
from stages import compose, reading, runtime
from stages.program import program

TOP = Path(__file__).parent.parent
STAGES = ("train_baseline", "train_bayesian", "prune")
WHOLE = "nothing"
PIECES: Mapping[str, Callable[[], None]] = {  # what takes each away, in a process of its own
    WHOLE: lambda: None,
    "freed memory that is kept (stages/runtime.py)": lambda: setattr(runtime, "keep_freed_memory", lambda: None),
}


def stage_without(piece: str, stage: str) -> None:
    PIECES[piece]()
    sys.argv = [stage]
    runtime.main(getattr(importlib.import_module(f"stages.{stage}"), stage))


def seconds(piece: str, folder: Path) -> tuple[float, float]:
    """By the clock, and of the processor's time, of the trainings in `folder`, which has the data."""
    before, start = _processor(), time.perf_counter()
    for stage in STAGES:
        code = f"from benchmarks import pieces; pieces.stage_without({piece!r}, {stage!r})"
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=os.environ | {"PYTHONPATH": str(TOP)}, capture_output=True,
                              text=True)
        if done.returncode:
            sys.exit(f"error: {stage} failed without {piece}:\n{done.stderr}")
    return time.perf_counter() - start, _processor() - before


def rows_of(times: Mapping[str, list[tuple[float, float]]]) -> list[report.Row]:
    """A row a piece: how many times as long the same round takes without it; median and quartiles.  times: by piece, one a round"""
    rows = []
    for piece, rounds in times.items():
        row: dict[str, str | float] = {"without": piece, "seconds": report.spread([clock for clock, _ in rounds], 3)["median"]}
        for number, what in enumerate(("clock", "processor")):
            ratio = report.spread([each[number] / whole[number] for each, whole in zip(rounds, times[WHOLE], strict=True)], 3)
            row |= {what: ratio["median"], f"{what} q25": ratio["q25"], f"{what} q75": ratio["q75"]}
        rows.append(row)
    return rows


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@program()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-S", dest="overrides", metavar="KEY=VALUE", action="append", default=[], help="as of dvc exp run")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    params = compose.composed(*arguments.overrides, conf=TOP / "conf")
    times: dict[str, list[tuple[float, float]]] = {piece: [] for piece in PIECES}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "params.yaml").write_text(reading.written(params))
        stage = subprocess.run([sys.executable, "-m", "stages.download"], cwd=folder, env=os.environ | {"PYTHONPATH": str(TOP)})
        if stage.returncode:
            sys.exit(stage.returncode)
        for _ in tqdm(range(arguments.rounds), "rounds", disable=None):
            for piece, found in times.items():
                found.append(seconds(piece, folder))
    about, rows = report.provenance(rounds=arguments.rounds, overrides=arguments.overrides), rows_of(times)
    print(about, report.table(rows), sep="\n")
    report.write(f"pieces-{params['recipe_name']}", about, rows)


if __name__ == "__main__":
    main()
