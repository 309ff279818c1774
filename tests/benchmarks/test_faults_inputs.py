"""Bad input in short form: some dozens of generated cases end in one line or are rightly taken, in a process that has limits."""

import json
import os
import subprocess
import sys
import time
from functools import partial
from random import Random

import pytest

from benchmarks.faults import inputs, mutations
from benchmarks.faults.watched import watched


def alone(code):
    """What `code` prints as JSON, in a fresh process: the harness forks, which autograd's threads of other tests do not survive."""
    done = subprocess.run([sys.executable, "-c", f"import json; from benchmarks.faults import inputs; {code}"], cwd=inputs.TOP,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_bad_input_is_one_line_or_rightly_taken():
    problems, rows = alone("problems = []; rows = inputs.run(27, seed=1, problems=problems); print(json.dumps([problems, rows]))")
    assert problems == []
    assert sum(row["cases"] for row in rows) == 27
    assert all(row["cases"] == row["one line"] + row["accepted"] and not row["broken"] for row in rows)
    assert sum(row["one line"] for row in rows) > 9


def test_the_same_seed_gives_the_same_cases(tmp_path, monkeypatch):
    def drawn(seed):
        return [(case.kind, draw.random()) for case, draw in map(partial(inputs.case, seed=seed), range(20))]
    assert drawn(1) == drawn(1) != drawn(2)
    text = "a: 1\nb: [1, 2]\n"
    assert mutations.harmed_text(text, Random(3)) == mutations.harmed_text(text, Random(3))
    assert any(mutations.harmed({"a": {"b": 1}}, Random(seed)) != {"a": {"b": 1}} for seed in range(3))


def exits_with(code):
    return lambda: sys.exit(code)


@pytest.mark.parametrize(("call", "outcome"), [
    (lambda: None, "accepted"), (exits_with("error: the file x is none"), "one line"), (exits_with("error: one\ntwo"), "several lines"),
    (exits_with("no such word"), "several lines"), (exits_with(3), "several lines"), (lambda: 1 // 0, "traceback"),
    (lambda: os.kill(os.getpid(), 9), "killed"), (lambda: time.sleep(60), "hang"), (lambda: bytearray(1 << 40), "traceback")],
    ids=["accepted", "line", "lines", "other words", "status", "defect", "killed", "hang", "memory"])
def test_how_a_call_ends_is_told_apart(call, outcome):
    assert watched(call, seconds=2).outcome == outcome


def test_what_is_harmed_is_good_before():
    ended = alone("print(json.dumps(inputs.unharmed()))")
    assert set(ended) == set(inputs.KINDS) - set(inputs.RARE)  # which take seconds
    assert set(ended.values()) == {"accepted"}, ended
