"""What a kill or a failure would lose comes back: outputs, dvc.lock, queued experiments, and nothing stays behind."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from test_recipes import compose

from sparsify.settings import InputError
from stages import kept, mend, params, runtime

REPO = Path(__file__).parents[2]
STAGE = "train_baseline"
FIGURES = {"baseline": {"accuracy": 90.0, "validation_accuracy": 91.0}}  # which the last line of a stage says
LOCK = yaml.safe_dump({"schema": "2.0", "stages": {"download": {"cmd": "x"}}})


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    """A pipeline of which one stage has run."""
    monkeypatch.chdir(tmp_path)
    compose(tmp_path / "params.yaml", "recipe=smoke")
    (tmp_path / "dvc.yaml").write_bytes((REPO / "dvc.yaml").read_bytes())
    kept.LOCK.write_text(LOCK)
    runtime.main(stage(lambda: write("first")))
    return tmp_path


def stage(act):
    def run(_: params.Params) -> None:
        act()
    run.__module__ = f"stages.{STAGE}"
    return run


def write(text: str) -> None:
    for path in kept.outs(STAGE):
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(json.dumps(FIGURES | {"text": text}) if path.suffix == ".json" else text)


def delete() -> None:
    for path in kept.outs(STAGE):
        path.unlink()


def contents() -> set[str]:
    return {json.loads(path.read_text())["text"] if path.suffix == ".json" else path.read_text() for path in kept.outs(STAGE)}


@pytest.mark.parametrize("error", [InputError("no"), OSError(28, "No space left on device"), KeyboardInterrupt(), SystemExit(143)])
def test_a_stage_that_fails_leaves_the_last_outputs_all_of_one_run(error):
    def half():
        kept.outs(STAGE)[0].write_text("second")
        raise error
    assert len(kept.outs(STAGE)) == 3
    delete()  # as DVC does
    with pytest.raises(SystemExit):
        runtime.main(stage(half))
    assert contents() == {"first"}


def test_outputs_that_nobody_deleted_are_left_alone_by_a_failing_stage():
    def fail():
        raise InputError("no")
    write("mine")
    with pytest.raises(SystemExit):
        runtime.main(stage(fail))
    assert contents() == {"mine"}


def test_what_a_killed_stage_lost_comes_back_by_one_command():
    delete()
    kept.outs(STAGE)[0].write_text("half of the second")
    assert any(STAGE in line for line in mend.mend())
    assert contents() == {"first"} and mend.mend() == []


@pytest.mark.parametrize("damage", ["", "schema: '2.0'\nstages:\n  down", "[]", "\0"])
def test_a_damaged_lock_file_comes_back_from_before_the_last_stage(damage):
    kept.LOCK.write_text(damage)
    assert mend.mend() == ["dvc.lock was damaged: it is as before the last stage"]
    assert kept.LOCK.read_text() == LOCK


def test_a_damaged_lock_file_comes_back_from_git_where_no_stage_has_run(workspace):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "dvc.lock"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True)
    (kept.LAST / kept.LOCK).unlink()
    kept.LOCK.write_text("")
    assert mend.mend() == ["dvc.lock was damaged: it is as in the last commit"]
    assert kept.LOCK.read_text() == LOCK


def test_an_experiment_whose_worker_died_is_queued_again_by_its_name_and_its_folder_removed(workspace):
    def git(*command):
        return subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *command], check=True, capture_output=True,
                              text=True).stdout.strip()
    git("init", "-q")
    git("commit", "-qm", "dvc-exp:head:base:mine", "--allow-empty")
    revision = git("rev-parse", "HEAD")
    body = base64.b64encode(json.dumps([[{"stash_rev": revision}], {}, {}]).encode()).decode()
    celery = mend.EXPERIMENTS / "celery"
    for folder in ("broker/in", "broker/processed", "result"):
        (celery / folder).mkdir(parents=True)
    for name, task in (("lost", mend.RUN), ("done", mend.RUN), ("other", "celery.ping")):
        message = {"headers": {"task": task, "id": name}, "body": body}
        (celery / "broker" / "processed" / f"{name}.celery.msg").write_text(json.dumps(message))
    (celery / "result" / "celery-task-meta-done").write_text("{}")
    (mend.EXPERIMENTS / "tmpabc").mkdir()
    (mend.EXPERIMENTS / "rwlock").write_text("")
    assert len(mend.mend()) == 3
    assert [path.name for path in (celery / "broker" / "in").iterdir()] == ["lost.celery.msg"]
    assert git("reflog", "show", "--format=%H %gs", mend.STASH) == f"{revision} commit: dvc-exp:head:base:mine"  # as DVC has it
    assert not (mend.EXPERIMENTS / "tmpabc").exists() and not (mend.EXPERIMENTS / "rwlock").exists() and mend.mend() == []
    (celery / "broker" / "in" / "lost.celery.msg").rename(celery / "broker" / "processed" / "lost.celery.msg")
    assert len(mend.mend()) == 1 and len(git("reflog", "show", mend.STASH).splitlines()) == 1  # it waits there once


def test_outputs_are_looked_up_without_waiting_for_a_pipe(workspace):
    (workspace / "params.yaml").unlink()
    os.mkfifo(workspace / "params.yaml")
    assert kept.all_outs() == {}
    with pytest.raises(SystemExit, match=r"params\.yaml is not a file"):
        runtime.main(stage(lambda: None))


def test_nothing_is_mended_while_dvc_is_at_work(workspace):
    (workspace / "dvc").write_text("import time\ntime.sleep(60)")
    (mend.EXPERIMENTS / "tmpabc").mkdir(parents=True)
    process = subprocess.Popen([sys.executable, "dvc", "repro"])
    try:
        while b"dvc" not in Path(f"/proc/{process.pid}/cmdline").read_bytes():  # until it has become that program
            time.sleep(0.01)
        assert [str(process.pid) in line for line in mend.mend()] == [True]
        assert (mend.EXPERIMENTS / "tmpabc").exists()
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("first_import", ["yaml", "torch", "safetensors"])
def test_an_interruption_while_python_imports_ends_at_once_and_silently(workspace, first_import):
    """Even where whoever imports swallows it."""
    (workspace / "sitecustomize.py").write_text(f"""
import sys, os, signal
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {first_import!r}:
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except BaseException:
                pass
sys.meta_path.insert(0, Interrupt())""")
    done = subprocess.run([sys.executable, "-m", f"stages.{STAGE}"], capture_output=True, text=True, timeout=120,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a job in the background ignores
                          env=os.environ | {"PYTHONPATH": f"{workspace}:{REPO}"})
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
