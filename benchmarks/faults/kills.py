"""Stages interrupted, killed and stopped by a full disk at random moments, then the same command again: the same artifacts?

An uninterrupted run of the tiny recipe comes first, and each stage once more. Then one stage at a time runs and is hurt: by itself, its
outputs deleted as DVC deletes them; by `dvc repro`; by `dvc exp run --temp`; by a worker of DVC's queue, which is killed with it. What
cannot agree is left out: seconds, latencies, and what is chosen by them."""

import json
import resource
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
from typing import Any, NamedTuple, NoReturn

from tqdm import tqdm

from benchmarks.faults.checkout import LIMIT, Checkout, Stopped, dvc, kill, python
from benchmarks.outputs import HALF, differing
from stages import mend

OVERRIDES = ("recipe=smoke", "baseline.epochs=2", "bayesian.train.epochs=2", "sweep.shares=[0,90]", "sweep.seeds=[1]",
             "sweep.unit_steps=10", "sweep.weight_steps=10", "benchmark.repeats=1", "benchmark.batch_sizes=[1]", "benchmark.threads=[1]",
             "benchmark.engines=[eager]")
STAGES = ("download", "train_baseline", "train_bayesian", "prune", "controls", "export", "benchmark", "uncertainty", "sweep", "plot")
FAULTS = ("SIGINT", "SIGTERM", "SIGKILL", "full disk")
PLACES = ("stage", "workspace", "temp", "queue")
AS_OFTEN = {"stage": 3, "workspace": 3, "temp": 3, "queue": 1}  # which takes the longest
FULL = 2000  # bytes of a file that the full disk takes


class Case(NamedTuple):
    number: int
    place: str
    fault: str
    stage: str
    moment: float  # of the fault, from 0 to 1 of the time that the command takes


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
        for checkout in checkouts:
            checkout.stop()


def _stop(checkouts: list[Checkout]) -> None:
    for checkout in checkouts:
        checkout.stop()


def _prepare(checkouts: list[Checkout], pool: ThreadPoolExecutor, jobs: int, places: Sequence[str], stages: Sequence[str]) -> Prepared:
    """All stages have run in the first checkout, which is committed and copied; each stage runs once more in one of them.

    Raises RuntimeError where these two runs differ."""
    first, changes = checkouts[0], _changes(*OVERRIDES)
    if set(places) == {"stage"}:
        first.call(*python("run"), *stages, *changes)
    else:
        first.call(*dvc("exp", "run", *changes, *stages))
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
        first.call(*_command(Case(-1, place, "", stages[0], 0)))
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
        hit, broken = _try(checkout, case, after, prepared.reference[case.stage])
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        checkout.kill()
        hit, broken = True, [str(error)]
    finally:
        free.put(checkout)
    return {**case._asdict(), "in time": hit, "broken": broken, "seconds": round(time.monotonic() - start, 1)}


def _try(checkout: Checkout, case: Case, after: float, reference: Mapping[str, Any]) -> tuple[bool, list[str]]:
    """-> whether it was hit before its end, and what did not hold"""
    if case.place == "stage":
        checkout.remove(case.stage)
    ended, said, broken = 0, None, []
    if case.place == "queue":
        ended = _experiments_ended(checkout) + 1
        checkout.call(*_command(case))
        said = "" if _queue_killed(checkout, after) else None
    else:
        said = _hit(checkout, _command(case), case.fault, after)
    if said is not None and "Traceback" in said and case.place == "stage":
        broken.append(f"a traceback after {case.fault}")
    if half := [path for path, value in checkout.artifacts(case.stage).items() if value is HALF]:
        broken.append(f"half-written after {case.fault}: {', '.join(half)}")
    checkout.call(*python("mend"))
    if case.place in ("temp", "queue") and checkout.artifacts(case.stage) != reference:
        broken.append("the workspace changed under an experiment of its own")
    status, again = 0, ""
    if case.place == "queue":
        _queue_emptied(checkout, ended)
    else:
        status, again = checkout.end(checkout.start(_command(case)))
    if status:
        broken.append(f"the same command again: {(again.strip().splitlines() or ['status'])[-1][:200]}")
    elif case.place in ("temp", "queue"):
        odd = checkout.odd_in_experiment(_name(case), case.stage, reference)
        broken += [f"other bits in {', '.join(odd)}"] if odd else []
    elif odd := differing(checkout.artifacts(case.stage), reference):
        broken.append(f"other bits in {', '.join(odd)}")
    if left := checkout.left_behind():
        broken.append(f"left behind: {', '.join(sorted({path.name for path in left}))}")
        for path in left:
            path.unlink(missing_ok=True)
    return said is not None, broken


def _name(case: Case) -> str:
    return f"k{case.number}" if case.number >= 0 else "undisturbed"


def _changes(*overrides: str) -> list[str]:
    return [part for each in overrides for part in ("-S", each)]


def _command(case: Case) -> tuple[str, ...]:
    if case.place == "stage":
        return python(case.stage)
    if case.place == "workspace":
        return dvc("repro", "-f", "-s", case.stage)
    # a key that decides nothing that is compared: else DVC keeps no experiment where all is as before
    return dvc("exp", "run", f"--{case.place}", "-f", "-s", "-n", _name(case),
               *_changes(*OVERRIDES, f"benchmark.max_accuracy_drop={1 + case.number / 1000}"), case.stage)


def _hit(checkout: Checkout, command: tuple[str, ...], fault: str, after: float) -> str | None:
    """What it said, or None if it had ended before."""
    with (checkout.root.with_suffix(".log")).open("w+") as output:
        process = checkout.start(command, output)
        if fault == "full disk":  # for Python, which ignores the signal, a write that fails
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (FULL, FULL))
        try:
            status, _ = checkout.end(process, LIMIT if fault == "full disk" else after)
        except subprocess.TimeoutExpired:
            status = 1
            kill(process.pid, signal.SIGKILL if fault == "full disk" else signal.Signals[fault], group=True)
            checkout.end(process)
        while kill(process.pid, 0, group=True):  # a child may outlive its parent, while it writes its state
            time.sleep(0.05)
        output.seek(0)
        return output.read() if status else None


def _queue_killed(checkout: Checkout, after: float) -> bool:
    """The worker and its experiment; whether it was before the experiment had ended."""
    before = _experiments_ended(checkout)
    _start_worker(checkout)
    time.sleep(after)
    return checkout.kill() and _experiments_ended(checkout) == before


def _start_worker(checkout: Checkout) -> None:
    checkout.end(checkout.start(dvc("queue", "start"), subprocess.DEVNULL))  # a pipe would stay open as long as the worker lives


def _queue_emptied(checkout: Checkout, ended: int) -> None:
    """A worker takes up what waits, until so many have ended. An idle one would stay for a while."""
    _start_worker(checkout)
    give_up = time.monotonic() + LIMIT
    while _experiments_ended(checkout) < ended and time.monotonic() < give_up:
        time.sleep(0.2)
    checkout.kill()


def _experiments_ended(checkout: Checkout) -> int:
    return len(list((checkout.root / mend.EXPERIMENTS / "celery" / "result").glob("celery-task-meta-*")))


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
