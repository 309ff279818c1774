"""Bad input by the thousand: parameters, recipes, folders of images, tables, data sets, networks, weights, states, reports.

Each case is a copy of a good working directory with one thing in it harmed, and a stage, or what a stage reads with, run on it in a process
of its own. The same seed gives the same cases."""

import contextlib
import importlib
import os
import shutil
import signal
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from benchmarks.faults import harms
from benchmarks.faults.harms import CLASSES, SHAPE, STATE, TOP
from benchmarks.faults.watched import Ending, watched
from sparsify import checkpoint, data
from sparsify.compress import store
from sparsify.data import Raw
from sparsify.losses import cross_entropy
from sparsify.training import fit
from stages import compose, download, networks, params, plot, reading, runtime, train_baseline


class Case(NamedTuple):
    kind: str
    make: Callable[[Random], str]  # harms the working directory; what it did
    call: Callable[[], Any]  # what then runs in it


def _composed() -> None:
    Path("params.yaml").write_text(reading.written(compose.composed("recipe=smoke")))
    params.load()


def _trained() -> None:
    """A training that goes on from STATE."""
    checkpoint.seconds(STATE)
    dataset, settings, model = data.load(runtime.DATASET), params.load().baseline, harms.architecture().build()
    fit(model, dataset.train, cross_entropy(model, settings), settings, dict, "trained", total_steps=9, state=STATE)


def _trained_if_short(chosen: params.Params) -> None:
    """The parameters are taken; so a training takes them too, where it is short."""
    if chosen.baseline.epochs <= 2 and chosen.model.width <= 1 and ":" not in chosen.model.name:
        train_baseline.train_baseline(chosen)


def _stage(call: Callable[[], Any]) -> Callable[[], None]:
    return lambda: runtime.main(lambda _: call())


def _importing() -> None:
    sys.path.insert(0, str(Path.cwd()))  # as python -m has it
    sys.dont_write_bytecode = True
    runtime.main(download.download)


KINDS: dict[str, tuple[Callable[[Random], str], Callable[[], Any]]] = {
    "parameters": (harms.params, lambda: runtime.main(_trained_if_short)),
    "recipes": (harms.recipe, _stage(_composed)),
    "folders of images": (harms.folder, lambda: runtime.main(download.download)),
    "tables": (harms.table, _importing),
    "data sets": (harms.dataset, _stage(lambda: data.load(runtime.DATASET).train[:2])),
    "networks": (harms.network, _stage(lambda: networks.load(runtime.COMPACT, harms.architecture()))),
    "weights": (harms.weights, lambda: runtime.main(train_baseline.train_baseline)),
    "states": (harms.state, _stage(_trained)),
    "reports": (harms.report, _stage(plot.read)),
    "reports, drawn": (harms.report, lambda: runtime.main(plot.plot)),
}
RARE = {"reports, drawn": 20}  # of the others as many come for each of these, which take seconds


def good(folder: Path) -> None:
    """Writes the working directory that cases harm, and goes into it."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    chosen = compose.composed("recipe=smoke", conf=TOP / "conf")
    chosen["model"] |= {"name": "lenet-300-100", "width": 0.05}
    chosen["baseline"] |= {"epochs": 1, "batch_size": 16}
    Path("params.yaml").write_text(reading.written(chosen))
    drawn = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (60, *SHAPE), dtype=torch.uint8, generator=drawn)
    data.save(runtime.DATASET, Raw(images[:48], torch.arange(48) % CLASSES), Raw(images[48:], torch.arange(12) % CLASSES), 10, 0)
    store.save(harms.architecture().build(), runtime.COMPACT, architecture=harms.architecture())
    for name in ("metrics", "plots"):
        shutil.copytree(TOP / name, name, ignore=shutil.ignore_patterns("*.png"))
    with contextlib.suppress(KeyboardInterrupt):
        _interrupted()


def _interrupted() -> None:
    """A training that is broken off in its third epoch, and leaves its state."""
    dataset, evaluated = data.load(runtime.DATASET), iter(range(2))
    model, settings = harms.architecture().build(), params.load().baseline

    def evaluate() -> dict[str, float]:
        if next(evaluated, None) is None:
            raise KeyboardInterrupt
        return {}
    fit(model, dataset.train, cross_entropy(model, settings), settings, evaluate, "trained", total_steps=9, state=STATE)


def case(number: int, seed: int = 0) -> tuple[Case, Random]:
    """All kinds come in turn; with it, what draws it."""
    kinds = [kind for kind in KINDS if kind not in RARE]
    kind = kinds[number % len(kinds)]
    rare = next((each for each, one_in in RARE.items() if kind in each and number // len(kinds) % one_in == one_in - 1), kind)
    return Case(rare, *KINDS[rare]), Random(f"{seed} {number}")


def _in_a_copy(call: Callable[[], Any], make: Callable[[], str] = str) -> tuple[str, Ending, bool]:
    """In a copy of the working directory, harmed by `make`: what that did, how the call ended, whether it wrote, but for its state."""
    def files() -> list[Path]:
        return sorted(path for path in Path().rglob("*") if path.parts[0] != STATE.parts[0])
    there = Path.cwd()
    folder = there.with_name("case")
    shutil.copytree(there, folder)
    try:
        os.chdir(folder)
        did, before = make(), files()
        ending = watched(call)
        return did, ending, files() != before
    finally:
        os.chdir(there)
        shutil.rmtree(folder)


class Tried(NamedTuple):
    kind: str
    outcome: str
    ratio: float  # its memory over that of a good run
    problem: str  # of one that did not end in one line, nor was rightly accepted


def run(n: int, seed: int = 0, problems: list[str] | None = None, jobs: int = 1) -> list[dict[str, Any]]:
    """A row for each kind: how many cases ended how, and the largest memory over that of a good run. An interruption ends it.

    problems: takes a text for each case that did not end in one line, or rightly accepted. jobs: cases at once"""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    largest: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    with (tempfile.TemporaryDirectory() as place, contextlib.suppress(KeyboardInterrupt),
          get_context("spawn").Pool(jobs, _ready, (Path(place),)) as pool):
        for tried in tqdm(pool.imap_unordered(partial(_try, seed), range(n)), total=n, desc="bad input", unit=" cases", disable=None):
            counts[tried.kind][tried.outcome] += 1
            largest[tried.kind] = max(largest[tried.kind], tried.ratio)
            if problems is not None and tried.problem:
                problems.append(tried.problem)
        pool.close()
        pool.join()
    return [_row(kind, counts[kind], largest[kind]) for kind in KINDS]


def _ready(place: Path) -> None:
    """A worker's own good working directory, which it goes into."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    warnings.simplefilter("ignore")
    _make_ready_to_fork()
    good(place / str(os.getpid()) / "good")


_peaks: dict[str, int] = {}  # by kind, in a good run: memory in bytes


def _try(seed: int, number: int) -> Tried:
    chosen, draw = case(number, seed)
    if chosen.kind not in _peaks:
        _peaks[chosen.kind] = _in_a_copy(chosen.call)[1].peak_bytes
    did, ending, wrote = _in_a_copy(chosen.call, partial(chosen.make, draw))
    ratio = ending.peak_bytes / _peaks[chosen.kind]
    outcome = "memory" if ratio > 2 else "something written" if wrote and ending.outcome == "one line" else ending.outcome
    told = f"{number} {chosen.kind}, {outcome}, {ratio:.2f} times the memory: {did}\n{ending.said}"
    return Tried(chosen.kind, outcome, ratio, "" if outcome in ("one line", "accepted") else told)


def unharmed() -> dict[str, str]:
    """How each kind of call ends on good input; those that take seconds are left out."""
    _make_ready_to_fork()
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as place:
        try:
            good(Path(place, "good"))
            shutil.copytree(TOP / "conf", "conf")
            return {kind: _in_a_copy(call)[1].outcome for kind, (_, call) in KINDS.items() if kind not in RARE}
        finally:
            os.chdir(before)


def _make_ready_to_fork() -> None:
    torch.set_num_threads(1)  # more would not live on in a fork, which then waits for them
    for module in ("matplotlib.figure", "pandas", "torchvision.transforms.v2"):  # here once, and not in each process
        importlib.import_module(module)


def _row(kind: str, counts: Counter[str], memory: float) -> dict[str, Any]:
    """broken: how many ended otherwise than in one line or rightly taken, and how"""
    broken = {outcome: count for outcome, count in counts.items() if outcome not in ("one line", "accepted")}
    return {"bad input": kind, "cases": counts.total(), "one line": counts["one line"], "accepted": counts["accepted"],
            "broken": sum(broken.values()), "how": ", ".join(f"{count} {outcome}" for outcome, count in broken.items()),
            "memory of a good run": f"{memory:.2f}"}
