"""Who runs the experiments of a frontier: DVC's queue, or folders where there is no DVC; and one run through the queue."""

import json
import sys

import pytest
from test_frontier import metrics, points, table
from test_pipeline import working_tree

from sparsify.artifacts import FileError
from sparsify.settings import InputError
from stages import frontier, frontier_runs, grid

STATUS = """Task     Name                Created    Status
9749375  kind-gate-0a        05:14 PM   Success
1234567  kind-gate-1b        05:14 PM   {}
abcdef0  kind-gate-2c        Nov 26, 2026   Queued
abcdef1  kind-gate-3d        05:14 PM   Failed

Worker status: {} active, {} idle
"""


@pytest.mark.parametrize(("state", "active", "idle"), [("Running", 1, 0), ("Queued", 0, 2)])
def test_what_dvc_says_of_its_queue_is_understood(state, active, idle, monkeypatch):
    queue = frontier_runs.Queue(1)
    monkeypatch.setattr(queue, "_dvc", lambda *arguments: STATUS.format(state, active, idle))
    assert queue._pending() == ({"kind-gate-1b", "kind-gate-2c"}, active + idle)


def test_a_queue_whose_workers_do_not_come_is_given_up(monkeypatch):
    queue, asked = frontier_runs.Queue(1), []
    monkeypatch.setattr(frontier_runs, "PAUSE", 0)
    monkeypatch.setattr(frontier_runs, "LOOK", 0)
    monkeypatch.setattr(queue, "_commits", dict)
    monkeypatch.setattr(queue, "_dvc", lambda *arguments: asked.append(arguments[1]) or STATUS.format("Running", 0, 0))
    with pytest.raises(InputError, match="no worker that goes on with kind-gate-1b; see dvc queue status"):
        queue._wait({"kind-gate-1b"})
    assert asked.count("start") == frontier_runs.PATIENCE


def test_without_dvc_folders_keep_what_came_out(tmp_path, monkeypatch):
    every = points("gaussian:units=0.5,0.25,0.1")
    runner = frontier_runs.Here(tmp_path)

    def run(targets, overrides, into):
        point = next(point for point in every if point.experiment.overrides == overrides)
        if point.target == 0.25:
            raise SystemExit(1)
        for stage, figures in metrics(point, 94.0, 90.0).items():
            if stage != "controls" or point.target == 0.5:
                frontier.artifacts.write_json(into / "metrics" / f"{stage}.json", {stage: figures})
    monkeypatch.setattr(frontier_runs.run, "run", run)
    failed = runner.run([point.experiment for point in every])
    assert list(failed) == [every[1].experiment.name]
    names = [point.experiment.name for point in every]
    assert list(runner.done(names)) == names[:1]
    assert runner.done(names)[names[0]]["prune"]["hidden_left"] == 200
    (tmp_path / names[0] / "metrics" / "prune.json").write_text("{")
    with pytest.raises(FileError, match=r"prune.json cannot be read"):
        runner.done(names)


class DVC:
    """Its command line: experiments that were queued run at the next look, and those of `bad` leave no commit."""

    def __init__(self, queue, bad, monkeypatch):
        self.bad, self.commits, self.queued, self.asked = bad, {}, [], []
        monkeypatch.setattr(queue, "_dvc", self)
        monkeypatch.setattr(queue, "_commits", lambda: self.commits)
        monkeypatch.setattr(frontier_runs, "PAUSE", 0)
        monkeypatch.setattr(frontier_runs, "LOOK", 0)
        monkeypatch.setattr(grid, "git", lambda *arguments: "false")

    def __call__(self, *arguments, check=True):
        self.asked.append(arguments)
        if arguments[:2] == ("exp", "run"):
            self.queued.append(arguments[arguments.index("--name") + 1])
        if arguments == ("queue", "start", "--jobs", "2"):
            self.commits |= {name: "0" * 40 for name in self.queued if name not in self.bad}
            self.queued = []
        if arguments[:2] == ("queue", "logs"):
            return f"Running\nerror: of {arguments[2]}\nERROR: failed to reproduce\n"
        return "".join(f"1234567  {name}  05:14 PM  Queued\n" for name in self.queued) + "Worker status: 0 active, 0 idle"


def test_what_waits_is_not_queued_again_and_what_failed_says_why(monkeypatch):
    first, second, third = (point.experiment for point in points("gaussian:units=0.5,0.25,0.1"))
    queue = frontier_runs.Queue(2)
    dvc = DVC(queue, bad={third.name}, monkeypatch=monkeypatch)
    dvc.queued = [first.name]
    assert queue.run([first, second, third]) == {third.name: f"error: of {third.name}"}
    assert [arguments for arguments in dvc.asked if arguments[:2] == ("exp", "run")] == [
        ("exp", "run", "--queue", "--name", each.name, *(part for override in each.overrides for part in ("-S", override)), "controls")
        for each in (second, third)]
    assert set(dvc.commits) == {first.name, second.name}


def test_other_experiments_of_git_are_not_read(monkeypatch):
    """They may be of a time when a stage wrote no such figures."""
    queue, asked = frontier_runs.Queue(1), []
    monkeypatch.setattr(queue, "_commits", lambda: {"ours": "a1", "other": "b2"})
    figures = json.dumps({stage: {} for stage in frontier_runs.STAGES})
    monkeypatch.setattr(grid, "git", lambda *arguments: asked.append(arguments[1]) or figures)
    assert list(queue.done(["ours", "to come"])) == ["ours"]
    assert len(asked) == len(frontier_runs.STAGES) and all(each.startswith("a1:") for each in asked)


def test_a_shallow_clone_is_refused(monkeypatch):
    monkeypatch.setattr(grid, "git", lambda *arguments: "true")
    with pytest.raises(InputError, match=r"this clone is shallow, .*; git fetch --unshallow"):
        frontier_runs.Queue(1).run([])


@pytest.mark.slow
def test_experiments_go_through_dvcs_queue_once(tmp_path):
    clone = working_tree(tmp_path / "home")
    clone.run("git", "fetch", "--quiet", "--unshallow")
    command = (sys.executable, "-m", "stages.frontier", "-S", "recipe=smoke", "-S", "baseline.epochs=1", "-S", "bayesian.train.epochs=2",
               "gaussian:units=0.5", "--seeds", "1", "--into", "out")
    assert "0 of 1 experiments are done" in clone.run(*command).stdout
    assert "1 of 1 experiments are done" in clone.run(*command).stdout
    ours, magnitude = table(clone.root / "out")
    assert (ours["method"], ours["hidden_left"], magnitude["method"]) == ("gaussian", "40", "magnitude")
    [commit] = frontier_refs(clone)
    at_commit = clone.run("git", "show", f"{commit}:metrics/controls.json").stdout
    assert float(magnitude["accuracy"]) == json.loads(at_commit)["controls"]["magnitude"]["accuracy"]
    assert not clone.run("git", "status", "--porcelain", "--untracked-files=no").stdout


def frontier_refs(clone):
    """The commits of the experiments that git holds."""
    lines = clone.run("git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").stdout.splitlines()
    return [line.split()[0] for line in lines if "kind-gaussian" in line]
