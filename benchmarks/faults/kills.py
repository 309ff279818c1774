"""Stages interrupted, killed and stopped by a full disk at random moments, then the same command again: the same artifacts?

An uninterrupted run of the tiny recipe comes first, twice. Then one stage at a time loses its outputs, as DVC takes them, and runs:
by itself, by `dvc repro`, or by `dvc exp run --temp`. What cannot agree is left out: seconds, latencies, and what is chosen by them."""

import csv
import io
import itertools
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

TOP = Path(__file__).parents[2]
OVERRIDES = ("recipe=smoke", "baseline.epochs=2", "bayesian.train.epochs=2", "sweep.shares=[0,90]", "sweep.seeds=[1]",
             "sweep.unit_steps=10", "sweep.weight_steps=10", "benchmark.repeats=1", "benchmark.batch_sizes=[1]")
STAGES = ("download", "train_baseline", "train_bayesian", "prune", "controls", "export", "benchmark", "uncertainty", "sweep", "plot")
TIMED = re.compile(r"seconds|latency|speedup|recommended|memory|median|q25|q75|png$|latency\.csv")
FAULTS = ("SIGINT", "SIGTERM", "SIGKILL", "full disk")
PLACES = ("stage", "workspace", "temp")
FULL = 2000  # bytes of a file that the full disk takes
LIMIT = 600  # seconds that nothing here takes


def run(n: int, seed: int, folder: Path, places: tuple[str, ...] = PLACES, stages: tuple[str, ...] = STAGES) -> list[dict[str, Any]]:
    """A row for each place and fault: how many were tried, how many were hit before they had ended, what did not hold.

    folder: an empty one to work in. An interruption ends it after the case at hand, with the rows so far."""
    draw, checkout = random.Random(seed), _clone(folder / "clone")
    durations: dict[str, float] = {}
    if places == ("stage",):
        _call(checkout, *_python("run"), *stages, *(part for each in OVERRIDES for part in ("-S", each)))
    else:
        _call(checkout, *_dvc("exp", "run", *(part for each in OVERRIDES for part in ("-S", each)), *stages))
        _call(checkout, "git", "commit", "-qam", "reference")
    reference = {}
    for stage in stages:
        first, start = _artifacts(checkout, stage), time.monotonic()
        _remove(checkout, stage)
        _call(checkout, *_python(stage))
        durations[stage], reference[stage] = time.monotonic() - start, _artifacts(checkout, stage)
        if first != reference[stage]:
            raise RuntimeError(f"two runs of {stage} that nothing disturbed differ in {_differing(first, reference[stage])}")
    found: dict[tuple[str, str], list[list[str]]] = {}
    hits: dict[tuple[str, str], int] = {}
    for number in _until_interrupted(tqdm(range(n), desc="kills", disable=None)):
        place, fault, stage = places[number % len(places)], FAULTS[number // len(places) % len(FAULTS)], draw.choice(stages)
        longest = durations[stage] * {"stage": 1.0, "workspace": 1.5, "temp": 2.0}[place]  # DVC takes time too
        hit, broken = _try(checkout, place, stage, fault, draw.uniform(0.0, longest), reference[stage], number)
        hits[place, fault] = hits.get((place, fault), 0) + hit
        found.setdefault((place, fault), []).append([f"{stage}: {line}" for line in broken])
    return [{"what": f"{fault}, {place}", "tried": len(lines), "in time": hits[place, fault],
             "held": sum(not line for line in lines), "broken": "; ".join(sorted({each for line in lines for each in line}))}
            for (place, fault), lines in sorted(found.items())]


def _until_interrupted(numbers: Iterable[int]) -> Iterator[int]:
    asked: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: asked.append(number))
    try:
        yield from itertools.takewhile(lambda _: not asked, numbers)
    finally:
        signal.signal(signal.SIGINT, before)


def _try(checkout: Path, place: str, stage: str, fault: str, after: float, reference: Mapping[str, Any],
         number: int) -> tuple[bool, list[str]]:
    """-> whether it was hit before its end, and what did not hold"""
    changes = [part for each in OVERRIDES for part in ("-S", each)]
    command = {"stage": _python(stage), "workspace": _dvc("repro", "-f", "-s", stage),
               "temp": _dvc("exp", "run", "--temp", "-f", "-s", "-n", f"k{number}", *changes, stage)}[place]
    if place == "stage":
        _remove(checkout, stage)
    said = _hit(checkout, command, fault, after)
    broken = []
    if said is not None and "Traceback" in said and place == "stage":
        broken.append(f"a traceback after {fault}")
    if half := [path for path, value in _artifacts(checkout, stage).items() if value is HALF]:
        broken.append(f"half-written after {fault}: {', '.join(half)}")
    _call(checkout, *_python("mend"))
    if (checkout / "metrics").exists() and place == "temp" and _artifacts(checkout, stage) != reference:
        broken.append("the workspace changed under an experiment of its own")
    again = subprocess.run(command, cwd=checkout, env=_environment(), capture_output=True, text=True, timeout=LIMIT)
    if again.returncode:
        broken.append(f"the same command again: {(again.stderr.strip().splitlines() or ['status'])[-1][:200]}")
    elif place == "temp":
        broken += _experiment(checkout, f"k{number}", stage, reference)
    elif found := _differing(_artifacts(checkout, stage), reference):
        broken.append(f"other bits in {', '.join(found)}")
    left = [path for folder in ("data", "metrics", "models", "plots", "scratch") for path in (checkout / folder).glob(".*.tmp")]
    left += [path for path in (checkout / "scratch").glob("*") if path.name not in ("last", "run.yaml", "run.lock")]
    if left:
        broken.append(f"left behind: {', '.join(sorted({path.name for path in left}))}")
        for path in left:
            path.unlink(missing_ok=True)
    return said is not None, broken


def _hit(checkout: Path, command: list[str], fault: str, after: float) -> str | None:
    """What it said, or None if it had ended before."""
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, FULL))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    log = checkout.parent / "log"
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=checkout, env=_environment(), stdout=output, stderr=output, start_new_session=True,
                                   preexec_fn=limit if fault == "full disk" else None)
        try:
            status = process.wait(LIMIT if fault == "full disk" else after)
            return None if status == 0 else log.read_text()
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL if fault == "full disk" else signal.Signals[fault])
        process.wait(LIMIT)
    while _group_lives(process.pid):  # a child may outlive its parent, while it writes its state
        time.sleep(0.05)
    return log.read_text()


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


HALF = object()  # stands for a file that cannot be read


def _artifacts(checkout: Path, stage: str) -> dict[str, Any]:
    return {name: _content(name, path.read_bytes()) for out in _outs(checkout, stage) for name, path in _files(checkout, out)
            if not TIMED.search(name)}


def _content(name: str, content: bytes) -> Any:
    """Without what is timed."""
    try:
        if name.endswith(".json"):
            return _untimed(json.loads(content))
        if name.endswith(".csv"):
            return [_untimed(row) for row in csv.DictReader(io.StringIO(content.decode()))]
    except ValueError:
        return HALF
    return content


def _untimed(value: Any) -> Any:
    return {key: _untimed(item) for key, item in value.items() if not TIMED.search(key)} if isinstance(value, dict) else value


def _differing(found: Mapping[str, Any], reference: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in found.keys() | reference.keys() if found.get(name) != reference.get(name))


def _experiment(checkout: Path, name: str, stage: str, reference: Mapping[str, Any]) -> list[str]:
    refs = subprocess.run(["git", "for-each-ref", "--format=%(refname)", "refs/exps"], cwd=checkout, capture_output=True, text=True).stdout
    ref = next((each for each in refs.split() if each.endswith(f"/{name}")), None)
    if ref is None:
        return []  # an experiment that changes nothing is not kept, and its workspace was compared
    changed = subprocess.run(["git", "diff", "--name-only", "HEAD", ref], cwd=checkout, capture_output=True, text=True).stdout.split()
    odd = []
    for path in (path for path in changed if path in reference):
        shown = subprocess.run(["git", "show", f"{ref}:{path}"], cwd=checkout, capture_output=True).stdout
        odd += [path] if _content(path, shown) != reference[path] else []
    return [f"other bits in {', '.join(odd)}"] if odd else []


def _outs(checkout: Path, stage: str) -> list[str]:
    import yaml

    from stages import pipeline
    return list(pipeline.stages(yaml.safe_load((checkout / "params.yaml").read_text()), checkout / "dvc.yaml")[stage].outs)


def _files(checkout: Path, out: str) -> Iterator[tuple[str, Path]]:
    path = checkout / out
    for file in sorted(path.rglob("*")) if path.is_dir() else [path] * path.exists():
        yield str(file.relative_to(checkout)), file


def _remove(checkout: Path, stage: str) -> None:
    for out in _outs(checkout, stage):
        shutil.rmtree(checkout / out) if (checkout / out).is_dir() else (checkout / out).unlink(missing_ok=True)


def _clone(checkout: Path) -> Path:
    subprocess.run(["git", "clone", "--quiet", str(TOP), str(checkout)], check=True)
    for key, value in (("user.name", "faults"), ("user.email", "faults@example.com")):
        _call(checkout, "git", "config", key, value)
    return checkout


def _call(checkout: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=checkout, env=_environment(), capture_output=True, text=True, timeout=LIMIT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-500:]}")


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", f"stages.{module}"]


def _dvc(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).parent / "dvc"), *arguments]


def _environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "SPARSIFY_", "PYTHONPATH"))}
    return kept | {"OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}"}
