"""An experiment in a clone: what its worker leaves when it is killed, and what a failure says."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages import trial

REPO = Path(__file__).parents[2]
ENDLESS = """import pathlib
from stages import trial

def take(self, *_):
    self.clone.mkdir()
    yield from self._status("sh", "-c", "echo \\"Running stage 'x'\\"; (while :; do mkdir -p deep; : > deep/$$; sleep 0.01; done) & wait")

trial._Trial.take = take
for news in trial.run("endless", [], [], "", "", 1):
    print(news, flush=True)
"""


def alive(folder: Path) -> list[int]:
    """The processes that work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "cwd").startswith(str(folder)):
                found.append(int(process.name))
        except OSError:  # ended meanwhile
            continue
    return found


def test_what_a_killed_worker_has_started_ends_and_its_clone_goes(tmp_path):
    worker = subprocess.Popen([sys.executable, "-c", ENDLESS], cwd=REPO, env=os.environ | {"TMPDIR": str(tmp_path)},
                              stdout=subprocess.PIPE, text=True)
    assert worker.stdout.readline() == "x\n"
    assert alive(tmp_path)
    worker.kill()
    worker.wait()
    end = time.monotonic() + 20
    while (alive(tmp_path) or list(tmp_path.iterdir())) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_remote_that_is_not_there_is_a_failure_with_gits_line(tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "PAUSES", (0, 0))
    [outcome] = trial.run("nowhere", [], [], str(tmp_path / "nothing"), "0" * 40, 1)
    assert not outcome["arrived"]
    assert re.match("fatal: ", next(line for line in outcome["log"].splitlines() if "nothing" in line))
    assert outcome["line"]


@pytest.mark.parametrize(("said", "last"), [
    (["a\n", "error: prior.kind is 'x'\n", "ERROR: failed to reproduce 'prune'\n", "\n"], "error: prior.kind is 'x'"),
    (["a\n", "ERROR: no such remote\n", "\n"], "ERROR: no such remote"), ([], "it said nothing")])
def test_the_last_words_are_a_stages_own(said, last):
    assert trial.last_words(said) == last
