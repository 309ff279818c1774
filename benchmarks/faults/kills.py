"""Stages interrupted, killed and stopped by a full disk at random moments, then the same command again: the same artifacts?

An uninterrupted run of the tiny recipe comes first, and each stage once more. Then one stage at a time runs and is hurt: by itself, its
outputs deleted as DVC deletes them; by `dvc repro`; by `dvc exp run --temp`; by a worker of DVC's queue, which is killed with it. What
cannot agree is left out: seconds, latencies, and what is chosen by them."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from random import Random
from typing import Any, NoReturn

from tqdm import tqdm

from benchmarks.faults.checkout import Checkout, Stopped, dvc, python
from benchmarks.faults.trial import OVERRIDES, Case, changes, command, tried
from benchmarks.outputs import differing

STAGES = ("download", "train_baseline", "train_bayesian", "prune", "controls", "export", "benchmark", "uncertainty", "sweep", "plot")
FAULTS = ("SIGINT", "SIGTERM", "SIGKILL", "full disk")
PLACES = ("stage", "workspace", "temp", "queue")
AS_OFTEN = {"stage": 3, "workspace": 3, "temp": 3, "queue": 1}  # which takes the longest


@dataclass
class Prepared:
    """checkouts: alike, one for each worker. reference, seconds: of each stage. overhead: seconds that DVC takes in each place"""
    checkouts: list[Checkout]
    reference: dict[str, dict[str, Any]]
    seconds: dict[str, float]
    overhead: dict[str, float]


def planned(n: int, seed: int, places: Sequence[str] = PLACES, stages: Sequence[str] = STAGES) -> list[Case]:
    """The same for the same arguments. A worker of the queue is always killed: told to end, it ends its task too, which has then failed."""
    turns = [(place, fault) for fault in FAULTS for place in places for _ in range(AS_OFTEN[place] if len(places) > 1 else 1)]
    Random(seed).shuffle(turns)
    found = []
    for number in range(n):
        draw, (place, fault) = Random(f"{seed} {number}"), turns[number % len(turns)]
        found.append(Case(number, place, "SIGKILL" if place == "queue" else fault, draw.choice(stages), draw.random()))
    return found


def run(n: int, seed: int, folder: Path, places: Sequence[str] = PLACES, stages: Sequence[str] = STAGES, jobs: int = 1,
        kept: Path | None = None) -> list[dict[str, Any]]:
    """A row for each place and fault: how many were tried, how many were hit before they had ended, what did not hold.

    folder: an empty one to work in. jobs: cases at once, each in a clone of its own. kept: a file with a line for each case that has ended;
    those that it holds are not run again. An interruption, or SIGTERM, ends it at once, with the rows so far."""
    cases = planned(n, seed, places, stages)
    ended = _read(kept, cases) if kept else []
    left = [case for case in cases if case.number not in {row["number"] for row in ended}]
    if not left:
        return _table(ended)
    checkouts = [Checkout.cloned(folder / "clone-0")]
    with ThreadPoolExecutor(jobs) as pool, _stopped_with(checkouts):
        try:
            prepared = _prepare(checkouts, pool, jobs, places, stages)
            free: SimpleQueue[Checkout] = SimpleQueue()
            for checkout in checkouts:
                free.put(checkout)
            started = [pool.submit(_in_one_of, free, case, prepared) for case in left]
            for done in tqdm(as_completed(started), initial=len(ended), total=n, desc="kills", disable=None):
                ended.append(done.result())
                if kept:
                    with kept.open("a") as file:
                        print(json.dumps(ended[-1]), file=file)
        except (KeyboardInterrupt, Stopped):
            pool.shutdown(cancel_futures=True)
        except BaseException:
            _stop(checkouts)
            pool.shutdown(cancel_futures=True)
            raise
    return _table(ended)


@contextmanager
def _stopped_with(checkouts: list[Checkout]) -> Iterator[None]:
    """An interruption, even of a job in the background, and SIGTERM end what runs in them."""
    def stop(*_: object) -> NoReturn:
        _stop(checkouts)
        raise KeyboardInterrupt
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _stop(checkouts)


def _stop(checkouts: list[Checkout]) -> None:
    for checkout in checkouts:
        checkout.stop()


def _prepare(checkouts: list[Checkout], pool: ThreadPoolExecutor, jobs: int, places: Sequence[str], stages: Sequence[str]) -> Prepared:
    """All stages have run in the first checkout, which is committed and copied; each stage runs once more in one of them.

    Raises RuntimeError where these two runs differ."""
    first, recipe = checkouts[0], changes(*OVERRIDES)
    if set(places) == {"stage"}:
        first.call(*python("run"), *stages, *recipe)
    else:
        first.call(*dvc("exp", "run", *recipe, *stages))
        first.call("git", "add", "--all")
        first.call("git", "commit", "--quiet", "--message", "reference")
    first = checkouts[0] = Checkout(first.root)  # whose parameters are now those of the recipe
    reference = {stage: first.artifacts(stage) for stage in stages}
    checkouts += [first.copy(first.root.with_name(f"clone-{number}")) for number in range(1, jobs)]
    shares = [stages[number::jobs] for number in range(jobs)]
    timed = pool.map(_again, checkouts, shares, [reference] * jobs)
    seconds = {stage: taken for each in timed for stage, taken in each.items()}
    overhead = {"stage": 0.0}
    for place in {"temp" if place == "queue" else place for place in places} - {"stage"}:
        start = time.monotonic()
        first.call(*command(Case(-1, place, "", stages[0], 0)))
        overhead[place] = max(0.0, time.monotonic() - start - seconds[stages[0]])
    overhead["queue"] = overhead.get("temp", 0.0)  # a worker starts as slowly
    return Prepared(checkouts, reference, seconds, overhead)


def _again(checkout: Checkout, stages: Sequence[str], reference: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """How long each takes."""
    seconds = {}
    for stage in stages:
        start = time.monotonic()
        checkout.remove(stage)
        checkout.call(*python(stage))
        seconds[stage] = time.monotonic() - start
        if odd := differing(checkout.artifacts(stage), reference[stage]):
            raise RuntimeError(f"two runs of {stage} that nothing disturbed differ in {', '.join(odd)}")
    return seconds


def _in_one_of(free: "SimpleQueue[Checkout]", case: Case, prepared: Prepared) -> dict[str, Any]:
    checkout, start = free.get(), time.monotonic()
    try:
        after = case.moment * (prepared.seconds[case.stage] + prepared.overhead[case.place])
        hit, broken = tried(checkout, case, after, prepared.reference[case.stage])
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        checkout.kill()
        hit, broken = True, [str(error)]
    finally:
        free.put(checkout)
    return {**case._asdict(), "in time": hit, "broken": broken, "seconds": round(time.monotonic() - start, 1)}


def _read(kept: Path, cases: Sequence[Case]) -> list[dict[str, Any]]:
    """The rows of these cases. A line that was cut short is none."""
    known, rows = set(cases), []
    for line in kept.read_text().splitlines() if kept.exists() else ():
        try:
            row = json.loads(line)
            if Case(**{key: row[key] for key in Case._fields}) in known:
                rows.append(row)
        except (KeyError, TypeError, ValueError):
            continue
    return rows


def _table(ended: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    kinds = sorted({(row["place"], row["fault"]) for row in ended})
    rows = []
    for kind in kinds:
        its = [row for row in ended if (row["place"], row["fault"]) == kind]
        broken = sorted({f"{row['stage']}: {line}" for row in its for line in row["broken"]})
        rows.append({"what": f"{kind[1]}, {kind[0]}", "tried": len(its), "in time": sum(row["in time"] for row in its),
                     "held": sum(not row["broken"] for row in its), "broken": "; ".join(broken)})
    return rows
