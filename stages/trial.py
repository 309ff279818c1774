"""One experiment in a clone of its own, which is made, run, pushed and removed: what stages.cluster sends to a machine.

Standard library alone: the machine has nothing of the project before it has the clone."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypedDict

PAUSES = (0, 5, 20)  # seconds before each try to reach a remote
# Reads the process group of every command. When the process that writes them ends, killed or not, it kills the last group, which would
# go on, and removes the folder, again if someone was still writing. It is nobody's child, as Ray ends the children of its workers.
GUARD = """exec 3<&0
{ while read -r group <&3; do last=$group; done
  [ -z "$last" ] || kill -s KILL -- "-$last"
  rm -rf -- "$1" || { sleep 1; rm -rf -- "$1"; }
} &"""


class Outcome(TypedDict):
    arrived: bool
    line: str  # what a failure said last
    log: str
    machine: str
    seconds: float


class Failed(Exception):
    """A command's last words."""


def reference(name: str, commit: str) -> str:
    """Where DVC puts an experiment that began at `commit` into git."""
    return f"refs/exps/{commit[:2]}/{commit[2:]}/{name}"


def last_words(said: Iterable[str]) -> str:
    """A stage's own line, if there is one: DVC adds others."""
    lines = [line.strip() for line in said if line.strip()]
    return next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1] if lines else "it said nothing")


def run(name: str, overrides: Sequence[str], targets: Sequence[str], url: str, commit: str, threads: int) -> Iterator[str | Outcome]:
    """Each stage as it begins, then how it ended. Nothing is run that has arrived before.

    url: of the git remote, which gets the experiment; targets: stages, all if there is none"""
    folder, start = Path(tempfile.mkdtemp(prefix=f"{name}-")), time.monotonic()
    guard = subprocess.Popen(["sh", "-c", GUARD, "sh", folder], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, text=True, start_new_session=True)
    guard.wait()
    trial, line = _Trial(name, folder / "clone", guard.stdin, threads), ""
    try:
        yield from trial.take(overrides, targets, url, commit)
    except Failed as failure:
        line = str(failure)
    finally:
        if guard.stdin:
            guard.stdin.close()
    yield {"arrived": not line, "line": line, "log": "".join(trial.said), "machine": socket.gethostname(),
           "seconds": round(time.monotonic() - start, 1)}


class _Trial:
    """Its methods yield the names of stages, as they begin."""

    def __init__(self, name: str, clone: Path, guard: Any, threads: int):
        self.name, self.clone, self.guard = name, clone, guard
        self.said: deque[str] = deque(maxlen=300)
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "DVC_"))}
        self.environment = inherited | {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)]),  # `python` is this one
            "DVC_SITE_CACHE_DIR": str(clone.parent / "site"), "GIT_TERMINAL_PROMPT": "0", "OMP_NUM_THREADS": str(threads)}

    def take(self, overrides: Sequence[str], targets: Sequence[str], url: str, commit: str) -> Iterator[str]:
        """Raises Failed."""
        here = ("git", "ls-remote", "--exit-code", url, reference(self.name, commit))
        if (yield from self._status(*here)) == 0:
            return
        yield from self._do("git", "clone", "--quiet", "--no-checkout", url, str(self.clone), pauses=PAUSES)
        yield from self._do("git", "checkout", "--quiet", "--detach", commit)
        dvc = (sys.executable, "-m", "dvc")
        changes = [part for override in overrides for part in ("-S", override)]
        yield from self._do(*dvc, "exp", "run", "--pull", "--allow-missing", "--name", self.name, *changes, *targets)
        # `dvc exp push` sends git's part first: whoever sees that finds the data there, if they go before it. With the run cache others
        # need not download the data set again; a web server as a remote cannot take it.
        data = ("push", "--with-deps", *targets) if targets else ("push",)
        if (yield from self._status(*dvc, *data, "--run-cache")):
            yield from self._do(*dvc, *data, pauses=PAUSES)
        try:
            yield from self._do(*dvc, "exp", "push", "origin", self.name, pauses=PAUSES)
        except Failed:
            if (yield from self._status(*here)):  # else it came from a machine that was thought lost
                raise

    def _do(self, *command: str, pauses: Sequence[int] = (0,)) -> Iterator[str]:
        """pauses: seconds before each try. Raises Failed."""
        for pause in pauses:
            time.sleep(pause)
            if (yield from self._status(*command)) == 0:
                return
        raise Failed(last_words(self.said))

    def _status(self, *command: str) -> Generator[str, None, int]:
        folder = self.clone if self.clone.is_dir() else self.clone.parent
        with subprocess.Popen(command, cwd=folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True) as process:
            self._tell_guard(process.pid)
            for line in process.stdout or ():
                self.said.append(line)
                if line.startswith("Running stage '"):
                    yield line.split("'")[1]
        self._tell_guard(None)
        return process.returncode

    def _tell_guard(self, group: int | None) -> None:
        self.guard.write(f"{group or ''}\n")
        self.guard.flush()
