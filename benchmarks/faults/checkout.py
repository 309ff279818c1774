"""A clone to be hurt: its commands, what is at work in it, and what its stages and experiments have written."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import outputs
from stages import pipeline, reading

TOP = Path(__file__).parents[2]
LIMIT = 600  # seconds that nothing here takes


class Stopped(Exception):
    """The harness was interrupted, so that how this case ended says nothing."""


class Checkout:
    """A working directory with its own git and cache. Commands have their own sessions: a Ctrl-C for the harness is none for them."""

    def __init__(self, root: Path):
        self.root, self.stages = root.resolve(), pipeline.stages(reading.section(root / "params.yaml"), root / "dvc.yaml")
        self._stopped, self._running = threading.Event(), set[subprocess.Popen[str]]()
        self._lock = threading.RLock()  # which a signal's handler may find in the hands of its own thread

    @classmethod
    def cloned(cls, root: Path) -> "Checkout":
        """Of the last commit of this project."""
        subprocess.run(["git", "clone", "--quiet", str(TOP), str(root)], check=True)
        found = cls(root)
        for key, value in (("user.name", "faults"), ("user.email", "faults@example.com")):
            found.call("git", "config", key, value)
        return found

    def copy(self, root: Path) -> "Checkout":
        shutil.copytree(self.root, root, symlinks=True)
        return Checkout(root)

    def start(self, command: tuple[str, ...], output: Any = subprocess.PIPE) -> subprocess.Popen[str]:
        with self._lock:
            if self._stopped.is_set():
                raise Stopped
            process = subprocess.Popen(command, cwd=self.root, env=self._environment(), stdout=output, stderr=subprocess.STDOUT, text=True,
                                       start_new_session=True)
            self._running.add(process)
        return process

    def end(self, process: subprocess.Popen[str], seconds: float = LIMIT) -> tuple[int, str]:
        """Its status, and what it said. Raises subprocess.TimeoutExpired, Stopped."""
        said, _ = process.communicate(timeout=seconds)
        with self._lock:
            self._running.discard(process)
            if self._stopped.is_set():
                raise Stopped
        return process.returncode, said or ""

    def call(self, *command: str) -> str:
        status, said = self.end(self.start(command))
        if status:
            raise RuntimeError(f"{' '.join(command)} ended with {status}: {said[-500:]}")
        return said

    def pause(self, seconds: float) -> None:
        """Raises Stopped."""
        if self._stopped.wait(seconds):
            raise Stopped

    def stop(self) -> None:
        """From another thread: whatever runs ends now, and nothing starts any more."""
        with self._lock:
            self._stopped.set()
            for process in self._running:
                kill(process.pid, signal.SIGKILL, group=True)
        self.kill()

    def kill(self) -> bool:
        """All that works here, also what DVC has sent into the background; whether there was any."""
        found = False
        while pids := self.at_work():
            found = True
            for pid in pids:
                kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        return found

    def at_work(self) -> list[int]:
        """The processes that work in this folder, or below it."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cwd").readlink().is_relative_to(self.root):
                    found.append(int(process.name))
            except OSError:
                continue  # it has ended, or is another user's
        return sorted(found)

    def artifacts(self, stage: str) -> dict[str, Any]:
        """By name, without what is timed."""
        return outputs.of(self.root, self.stages[stage].outs)

    def remove(self, stage: str) -> None:
        """Its outputs, as DVC takes them before it runs."""
        for out in self.stages[stage].outs:
            path = self.root / out
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def odd_in_experiment(self, name: str, stage: str, reference: Mapping[str, Any]) -> list[str]:
        """What of the experiment is not as in `reference`, and, of what DVC's cache holds, not as in the last commit."""
        refs = self.call("git", "for-each-ref", "--format=%(refname)", "refs/exps")
        ref = next((each for each in refs.split() if each.endswith(f"/{name}")), None)
        if ref is None:
            return ["the experiment was lost"]
        reports = [path for path in self.stages[stage].reports if path in reference]
        odd = [path for path in reports if outputs.content(path, self.call("git", "show", f"{ref}:{path}").encode()) != reference[path]]
        cached = set(self.stages[stage].outs) - set(self.stages[stage].reports)
        locked = [{out["path"]: out["md5"] for out in reading.parsed(self.call("git", "show", f"{commit}:dvc.lock"), "dvc.lock")
                   ["stages"][stage].get("outs", ())} for commit in ("HEAD", ref)]
        return odd + [path for path in sorted(cached) if locked[0][path] != locked[1][path]]

    def left_behind(self) -> list[Path]:
        found = [path for folder in ("data", "metrics", "models", "plots", "scratch") for path in (self.root / folder).glob(".*.tmp")]
        return found + [path for path in (self.root / "scratch").glob("*") if path.name not in ("last", "run.yaml", "run.lock")]

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "GIT_", "SPARSIFY_", "PYTHONPATH"))}
        return kept | {"OMP_NUM_THREADS": "1", "PATH": _path(),
                       "DVC_SITE_CACHE_DIR": str(self.root.with_name(f"{self.root.name}-site"))}  # of DVC's own, else outside


def kill(pid: int, number: int, group: bool = False) -> bool:
    """Whether it was there."""
    try:
        os.killpg(pid, number) if group else os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def python(module: str) -> tuple[str, ...]:
    return sys.executable, "-m", f"stages.{module}"


def dvc(*arguments: str) -> tuple[str, ...]:
    return shutil.which("dvc", path=_path()) or "dvc", *arguments


def _path() -> str:
    """Programs beside this Python come first."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
