"""Where a frontier's experiments run, and what of them is done: DVC's queue, or this checkout without DVC, one after another."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from sparsify.settings import InputError
from stages import grid, reports, run, trial

STAGES = ("baseline", "bayesian", "prune", "controls")  # whose metrics a frontier is drawn from
PAUSE, LOOK = 5.0, 60.0  # seconds between two looks at git, and at DVC's queue, each of which costs a core seconds
PATIENCE = 3  # looks in a row that find a queue without workers, each of which starts them again
Metrics = Mapping[str, Mapping[str, Any]]  # by stage


class Runner(Protocol):
    def done(self, names: Collection[str]) -> dict[str, Metrics]:
        """By name, those of these experiments that ran to their end."""
        ...

    def run(self, experiments: Sequence[grid.Experiment]) -> dict[str, str]:
        """Those that failed, with the last line of each."""
        ...


class Queue:
    """DVC's. Its experiments are commits, which git holds under their names, whatever commit they began at."""

    def __init__(self, jobs: int):
        self.jobs = jobs
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "DVC_"))}
        self.environment = kept | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])}
        if jobs > 1:  # else each would take all cores
            self.environment.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // jobs)))

    def done(self, names: Collection[str]) -> dict[str, Metrics]:
        return {name: {stage: json.loads(grid.git("show", f"{commit}:metrics/{stage}.json"))[stage] for stage in STAGES}
                for name, commit in self._commits().items() if name in names}

    def run(self, experiments: Sequence[grid.Experiment]) -> dict[str, str]:
        """Those that wait or run already are not queued again. An interruption ends the wait alone: the workers go on."""
        if grid.git("rev-parse", "--is-shallow-repository") == "true":  # DVC cannot fetch their commits into it, and says nothing
            raise InputError("this clone is shallow, and DVC's queue loses its experiments; git fetch --unshallow")
        pending = self._pending()[0]
        for experiment in tqdm([each for each in experiments if each.name not in pending], "queueing", disable=None):
            changes = [part for override in experiment.overrides for part in ("-S", override)]
            self._dvc("exp", "run", "--queue", "--name", experiment.name, *changes, *experiment.targets)
        try:
            self._wait({experiment.name for experiment in experiments})
        except KeyboardInterrupt:
            print("DVC's queue goes on without this command; dvc queue stop --kill ends it", file=sys.stderr)
            raise
        failed = {experiment.name for experiment in experiments} - self._commits().keys()
        return {name: trial.last_words(self._dvc("queue", "logs", name, check=False).splitlines()) for name in sorted(failed)}

    def _wait(self, names: set[str]) -> None:
        idle, look = 0, time.monotonic()
        with tqdm(total=len(names), desc="experiments", disable=None) as bar:
            while left := names - self._commits().keys():
                bar.update(len(names) - len(left) - bar.n)
                if time.monotonic() >= look:
                    pending, workers = self._pending()
                    if not left & pending:
                        return
                    idle = 0 if workers else idle + 1
                    if idle > PATIENCE:
                        raise InputError(f"DVC's queue has no worker that goes on with {min(left & pending)}; see dvc queue status, take "
                                         "the experiment out by dvc queue kill or dvc queue remove, and give the same command again")
                    if not workers:
                        self._dvc("queue", "start", "--jobs", str(self.jobs))
                    look = time.monotonic() + LOOK
                time.sleep(PAUSE)
            bar.update(len(names) - bar.n)

    def _pending(self) -> tuple[set[str], int]:
        """The names of the experiments that wait or run, and how many workers there are."""
        said = self._dvc("queue", "status")
        workers = re.search(r"Worker status: (\d+) active, (\d+) idle", said)
        return (set(re.findall(r"(?m)^[0-9a-f]{7}\s+(\S+)\s.*\s(?:Queued|Running)\s*$", said)),
                int(workers[1]) + int(workers[2]) if workers else 0)

    def _commits(self) -> dict[str, str]:
        lines = grid.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").splitlines()
        found = (re.fullmatch(r"(\w+) refs/exps/\w{2}/\w{38}/(.+)", line) for line in lines)
        return {match[2]: match[1] for match in found if match}

    def _dvc(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run([sys.executable, "-m", "dvc", *arguments], env=self.environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        if check and done.returncode:
            said = f"{done.stdout}\n{done.stderr}".splitlines()
            if any("No module named dvc" in line for line in said):
                raise InputError("DVC is not installed here; pip install dvc, or give --here, which runs the stages in this checkout")
            raise InputError(f"dvc {' '.join(arguments[:2])} failed: {trial.last_words(said)}")
        return done.stdout


class Here:
    """This checkout, by stages.run; a folder each in `folder` keeps what came out."""

    def __init__(self, folder: Path):
        self.folder = folder

    def done(self, names: Collection[str]) -> dict[str, Metrics]:
        return dict(self._finished(names))

    def run(self, experiments: Sequence[grid.Experiment]) -> dict[str, str]:
        failed = {}
        for experiment in tqdm(experiments, "experiments", disable=None):
            try:
                run.run(experiment.targets, experiment.overrides, self.folder / experiment.name)
            except SystemExit as ended:
                failed[experiment.name] = f"a stage ended with status {ended.code}; its line is above"
        return failed

    def _finished(self, names: Collection[str]) -> Iterator[tuple[str, Metrics]]:
        for name in names:
            paths = {stage: self.folder / name / "metrics" / f"{stage}.json" for stage in STAGES}
            if all(path.is_file() for path in paths.values()):
                yield name, {stage: reports.figures(path, stage) for stage, path in paths.items()}
