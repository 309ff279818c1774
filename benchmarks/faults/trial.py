"""One stage that is hurt at one moment, in one place: what runs, what is done to it, and what did not hold."""

import resource
import signal
import subprocess
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from benchmarks.faults.checkout import LIMIT, Checkout, dvc, kill, python
from benchmarks.outputs import HALF, differing
from stages import mend

OVERRIDES = ("recipe=smoke", "baseline.epochs=2", "bayesian.train.epochs=2", "sweep.shares=[0,90]", "sweep.seeds=[1]",
             "sweep.unit_steps=10", "sweep.weight_steps=10", "benchmark.repeats=1", "benchmark.batch_sizes=[1]", "benchmark.threads=[1]",
             "benchmark.engines=[eager]")
FULL = 2000  # bytes of a file that the full disk takes


class Case(NamedTuple):
    number: int
    place: str
    fault: str
    stage: str
    moment: float  # of the fault, from 0 to 1 of the time that the command takes


def tried(checkout: Checkout, case: Case, after: float, reference: Mapping[str, Any]) -> tuple[bool, list[str]]:
    """-> whether it was hit before its end, and what did not hold"""
    if case.place == "stage":
        checkout.remove(case.stage)
    ended, said, broken = 0, None, []
    if case.place == "queue":
        ended = _experiments_ended(checkout) + 1
        checkout.call(*command(case))
        said = "" if _queue_killed(checkout, after) else None
    else:
        said = _hit(checkout, command(case), case.fault, after)
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
        status, again = checkout.end(checkout.start(command(case)))
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


def changes(*overrides: str) -> list[str]:
    return [part for each in overrides for part in ("-S", each)]


def command(case: Case) -> tuple[str, ...]:
    if case.place == "stage":
        return python(case.stage)
    if case.place == "workspace":
        return dvc("repro", "-f", "-s", case.stage)
    # a key that decides nothing that is compared: else DVC keeps no experiment where all is as before
    return dvc("exp", "run", f"--{case.place}", "-f", "-s", "-n", _name(case),
               *changes(*OVERRIDES, f"benchmark.max_accuracy_drop={1 + case.number / 1000}"), case.stage)


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
            checkout.pause(0.05)
        output.seek(0)
        return output.read() if status else None


def _queue_killed(checkout: Checkout, after: float) -> bool:
    """The worker and its experiment; whether it was before the experiment had ended."""
    before = _experiments_ended(checkout)
    _start_worker(checkout)
    checkout.pause(after)
    return checkout.kill() and _experiments_ended(checkout) == before


def _start_worker(checkout: Checkout) -> None:
    checkout.end(checkout.start(dvc("queue", "start"), subprocess.DEVNULL))  # a pipe would stay open as long as the worker lives


def _queue_emptied(checkout: Checkout, ended: int) -> None:
    """A worker takes up what waits, until so many have ended. An idle one would stay for a while."""
    _start_worker(checkout)
    give_up = time.monotonic() + LIMIT
    while _experiments_ended(checkout) < ended and time.monotonic() < give_up:
        checkout.pause(0.2)
    checkout.kill()


def _experiments_ended(checkout: Checkout) -> int:
    return len(list((checkout.root / mend.EXPERIMENTS / "celery" / "result").glob("celery-task-meta-*")))
