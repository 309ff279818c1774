"""Where the wall time of `dvc repro` goes, from a fresh clone to the plots, stage by stage.

    python -m benchmarks.pipeline                                     the commit that is checked out
    python -m benchmarks.pipeline --revisions main~1 main             two commits, in turn

Each run is a clone in a temporary folder, so only what is committed counts. The stages are watched by trace/sitecustomize.py;
what no stage accounts for is DVC's, with the start and the end of the interpreters."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report

TOP = Path(__file__).parent.parent
SHORT = 0.1  # seconds: shorter parts are put together
THREADS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")  # how they wait: this package has set it for itself, each commit sets its own


def run(revision: str) -> dict[tuple[str, str], float]:
    """Seconds by (stage, part) of one `dvc repro`, and of another that finds nothing to do."""
    with tempfile.TemporaryDirectory() as folder:
        clone, trace = Path(folder) / "clone", Path(folder) / "trace"
        for command in (["clone", "--quiet", TOP, clone], ["-C", clone, "checkout", "--quiet", revision]):
            subprocess.run(["git", *command], check=True)
        inherited = {key: value for key, value in os.environ.items() if key not in THREADS}
        paths = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                 "PYTHONPATH": str(Path(__file__).parent / "trace"), "BENCHMARK_TRACE": str(trace)}
        first = _timed_repro(clone, inherited | paths, "--force")  # else stages whose results are committed would be skipped
        second = _timed_repro(clone, inherited | paths)
        seconds: dict[tuple[str, str], float] = {}
        for line in trace.read_text().splitlines():
            record = json.loads(line)
            stage, parts = record["stage"], record["parts"]
            seconds |= {(stage, part): value for part, value in parts.items()}
            seconds[stage, "the rest"] = record["seconds"] - sum(parts.values())
    return {("all", "dvc repro"): first, ("all", "dvc repro again, nothing to do"): second,
            ("all", "DVC and interpreters"): first - sum(seconds.values()), **seconds}


def _timed_repro(clone: Path, environment: dict[str, str], *options: str) -> float:
    start = time.perf_counter()
    done = subprocess.run(["dvc", "repro", *options], cwd=clone, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: dvc repro failed in a fresh clone:\n{done.stderr}")
    return time.perf_counter() - start


def rows_of(revision: str, runs: Sequence[dict[tuple[str, str], float]]) -> list[report.Row]:
    """One row a stage and part, parts that are short put together, and one a part over all stages."""
    times: dict[tuple[str, str], list[float]] = {}
    for number, seconds in enumerate(runs):
        for (stage, part), value in seconds.items():
            short = stage != "all" and max(each.get((stage, part), 0) for each in runs) < SHORT
            keys = [(stage, "the rest" if short else part), *([("every stage", part)] if stage != "all" else [])]
            for key in keys:
                times.setdefault(key, [0.0] * len(runs))[number] += value
    wall = report.spread(times["all", "dvc repro"])["median"]
    rows = []
    for (stage, part), values in times.items():
        seconds = report.spread(values, 3)
        if seconds["median"] >= SHORT or stage == "all":
            rows.append({"revision": revision, "stage": stage, "part": part, "seconds": seconds["median"], "q25": seconds["q25"],
                         "q75": seconds["q75"], "% of wall": round(100 * seconds["median"] / wall, 1)})
    order = ["all", "every stage"]
    return sorted(rows, key=lambda row: (order.index(row["stage"]) if row["stage"] in order else len(order)))


def side_by_side(rows: Sequence[report.Row]) -> list[report.Row]:
    """For a reader: a column a revision, its seconds with quartiles, for each part over all stages and the training of each stage."""
    cells: dict[str, dict[str, str]] = {}
    for row in rows:
        whole = row["stage"] in ("all", "every stage")
        if whole or row["part"] == "training steps":
            part = row["part"] if whole else f"{row['part']}: {row['stage']}"
            text = f"{row['seconds']:.3g} ({row['q25']:.3g} to {row['q75']:.3g})"
            cells.setdefault(part, {})[row["revision"]] = text
    revisions = dict.fromkeys(row["revision"] for row in rows)
    return [{"part": part, **{f"{revision}, s": found.get(revision) for revision in revisions}} for part, found in cells.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--revisions", nargs="+", default=["HEAD"])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    names = {revision: subprocess.run(["git", "-C", TOP, "rev-parse", "--short", revision], check=True, capture_output=True,
                                      text=True).stdout.strip() for revision in arguments.revisions}
    about = report.provenance("dvc", "torchvision", "pandas", "matplotlib", n=arguments.repeats, interleaved=True, recipe="default")
    runs: dict[str, list[dict[tuple[str, str], float]]] = {revision: [] for revision in names}
    for _ in range(arguments.repeats):
        for revision, name in names.items():
            runs[revision].append(run(name))
    rows = [row for revision, name in names.items() for row in rows_of(name, runs[revision])]
    print(about, report.table(side_by_side(rows)), sep="\n\n")
    report.write("pipeline", about, rows)


if __name__ == "__main__":
    main()
