"""Several at work on one checkout and its cache: experiments, workers of the queue, a push and a pull; and a clone that only pulls."""

import os
import shutil
import subprocess
import sys
import time

import pytest
import yaml
from test_pipeline import stages_run, working_tree
from test_recipes import compose

from benchmarks import outputs

pytestmark = pytest.mark.slow
STAGE = "train_baseline"
CHANGES = ("recipe=smoke", "baseline.epochs=40")  # some seconds
OUTS = ("models/baseline.safetensors", "metrics/baseline.json", "plots/baseline_curve.csv")
LIMIT = 300


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """Two stages have run in it and are committed; the default remote is a folder."""
    folder = tmp_path_factory.mktemp("concurrency")
    made = working_tree(folder / "home")
    shutil.rmtree(made.root / ".git")  # DVC's queue loses experiments in a shallow clone
    for command in (("init",), ("config", "user.name", "test"), ("config", "user.email", "test@localhost")):
        made.run("git", *command)
    compose(made.root / "params.yaml", *CHANGES)
    made.run("dvc", "remote", "add", "--default", "store", str(folder / "store"))
    made.commit("tiny")
    made.run("dvc", "repro", STAGE)
    made.commit("done")
    return made


@pytest.fixture(scope="module")
def reference(clone):
    return outputs.of(clone.root, OUTS), locked(clone, "HEAD")


@pytest.fixture
def start(clone):
    """start(*command) -> the process, at work in the clone; it ends with the test"""
    started = []

    def run(*command, output=subprocess.PIPE):
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "DVC_", "SPARSIFY_", "PYTHONPATH"))}
        path = os.pathsep.join([os.path.dirname(sys.executable), environment["PATH"]])
        started.append(subprocess.Popen(command, cwd=clone.root, env=environment | {"PATH": path, "OMP_NUM_THREADS": "1"}, text=True,
                                        stdout=output, stderr=subprocess.STDOUT))
        return started[-1]
    yield run
    for process in started:
        process.kill()
        process.wait()


def locked(clone, revision):
    """What the data and the model are, as the dvc.lock of a commit has it: by path."""
    stages = yaml.safe_load(clone.run("git", "show", f"{revision}:dvc.lock").stdout)["stages"]
    return {out["path"]: out["md5"] for stage in ("download", STAGE) for out in stages[stage]["outs"] if "/dataset" in out["path"] or
            "models/" in out["path"]}


def experiments(clone):
    """The commit of each, by name."""
    listed = clone.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").stdout.split()
    return {ref.rsplit("/", 1)[1]: ref for ref in listed if "/exec/" not in ref and "/celery/" not in ref}


def held(clone, name, reference):
    """Whether an experiment has the reference's bits."""
    figures, files = reference
    shown = {path: outputs.content(path, clone.run("git", "show", f"{experiments(clone)[name]}:{path}").stdout.encode())
             for path in OUTS if not path.startswith("models/")}
    return locked(clone, experiments(clone)[name]) == files and all(shown[path] == figures[path] for path in shown)


def changes(seed):
    """Of the same training, or another; the last key is used by no stage here, and makes a commit of the experiment."""
    return [part for each in (*CHANGES, f"seed={seed}", "uncertainty.samples=2") for part in ("-S", each)]


def test_two_experiments_at_once_end_as_each_would_alone(clone, reference, start):
    same, other = (start("dvc", "--wait-for-lock", "exp", "run", "--temp", "-f", "-n", name, *changes(seed), STAGE)
                   for name, seed in (("same", 1), ("other", 2)))
    said = [process.communicate(timeout=LIMIT)[0] for process in (same, other)]
    assert [same.returncode, other.returncode] == [0, 0], said
    assert held(clone, "same", reference) and not held(clone, "other", reference)
    assert outputs.of(clone.root, OUTS) == reference[0]


def test_two_workers_empty_the_queue_and_each_experiment_ends_as_it_would_alone(clone, reference, start):
    for name, seed in (("queued", 1), ("queued-other", 3)):
        clone.run("dvc", "exp", "run", "--queue", "-f", "-n", name, *changes(seed), STAGE)
    start("dvc", "queue", "start", "-j", "2", output=subprocess.DEVNULL).wait(LIMIT)  # the workers would keep a pipe open
    try:
        give_up = time.monotonic() + LIMIT
        while not {"queued", "queued-other"} <= set(experiments(clone)) and time.monotonic() < give_up:
            time.sleep(1)
        assert held(clone, "queued", reference) and not held(clone, "queued-other", reference)
    finally:
        clone.run("dvc", "queue", "stop", "--kill", check=False)


def test_a_push_and_a_pull_in_the_middle_of_a_run_harm_nothing_and_a_clone_that_pulls_runs_nothing(clone, reference, start):
    running = start("dvc", "repro", "-f", "-s", STAGE)
    while (clone.root / OUTS[0]).exists():  # until DVC has deleted the outputs, and the stage is at work
        assert running.poll() is None
        time.sleep(0.05)
    pushed = clone.run("dvc", "push", "download", check=False)
    pulled = clone.run("dvc", "pull", "download", check=False)
    assert running.poll() is None  # it was the middle
    said = running.communicate(timeout=LIMIT)[0]
    assert running.returncode == 0, said
    assert [pushed.returncode, pulled.returncode] == [0, 0], pushed.stderr + pulled.stderr
    assert outputs.of(clone.root, OUTS) == reference[0]

    clone.run("dvc", "push", STAGE)
    clone.commit("run again")
    fresh = type(clone)(clone.root.with_name("fresh"))
    subprocess.run(["git", "clone", "--quiet", clone.root, fresh.root], check=True)
    fresh.run("dvc", "pull", "download", STAGE)
    again = fresh.run("dvc", "repro", STAGE).stdout
    assert stages_run(again) == [] and "up to date" in again
    assert outputs.of(fresh.root, OUTS) == reference[0]
