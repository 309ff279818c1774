"""Mends what a kill left, so that the next command goes on: `python -m stages.mend`. With nothing to mend it says nothing.

dvc.lock, empty or cut short     the one of before the last stage comes back, or git's
outputs that a killed stage lost the last good ones come back
DVC's own locks that are no JSON are removed
temporary files and folders      of dead processes, those of `dvc exp run --temp` among them, are removed
queue tasks without a worker     are queued again; `dvc queue start` takes them up, and a training goes on from its state"""

import argparse
import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

from sparsify.artifacts import sweep, write_bytes
from sparsify.settings import InputError
from stages import kept
from stages.program import program

DVC = Path(".dvc/tmp")
EXPERIMENTS = DVC / "exps"
STASH = "refs/exps/celery/stash"
RUN = "dvc.repo.experiments.queue.tasks.run_exp"  # the kind of message that is a queued experiment


def mend() -> list[str]:
    """A line for each thing that was mended, or that has to wait. Safe to run at any time."""
    if busy := at_work():
        waiting = "" if kept.whole(kept.LOCK) or not kept.LOCK.exists() else "; dvc.lock is damaged"
        return [f"DVC, or a stage, is at work here (process {busy[0]}): wait for it or end it, then run python -m stages.mend{waiting}"]
    said = _lock()
    for folder in (*kept.FOLDERS, ".", kept.LAST):
        sweep(Path(folder))
    for stage, paths in kept.all_outs().items():
        missing = [path for path in paths if not Path(path).exists()]
        if missing and kept.put_back([Path(path) for path in paths]):
            said.append(f"{', '.join(missing)}: as the stage {stage} made it last")
    return said + _dvc_locks() + _queue() + _folders()


def at_work() -> list[int]:
    """The processes of DVC, and stages, in this checkout or in an experiment's copy below it."""
    here, found = Path.cwd().resolve(), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = [os.fsdecode(word) for word in (process / "cmdline").read_bytes().split(b"\0")[:4]]
            ours = any(Path(word).name == "dvc" or word.startswith("stages.") for word in words) and process.name != str(os.getpid())
            if ours and (process / "cwd").resolve().is_relative_to(here):
                found.append(int(process.name))
        except OSError:
            continue  # it has ended, or is another user's
    return sorted(found)


def _lock() -> list[str]:
    if kept.whole(kept.LOCK) or not kept.LOCK.exists():
        return []
    if kept.whole(kept.LAST / kept.LOCK):
        write_bytes(kept.LOCK, (kept.LAST / kept.LOCK).read_bytes())
        return ["dvc.lock was damaged: it is as before the last stage"]
    git = subprocess.run(["git", "show", "HEAD:./dvc.lock"], capture_output=True)
    if git.returncode == 0:
        write_bytes(kept.LOCK, git.stdout)
        return ["dvc.lock was damaged: it is as in the last commit"]
    kept.LOCK.unlink()
    return ["dvc.lock was damaged, and is removed: all stages run again"]


def _dvc_locks() -> list[str]:
    """A lock of a process that has died DVC removes itself; one that was cut short while it was written it cannot read."""
    said = []
    for path in (DVC / "rwlock", EXPERIMENTS / "rwlock"):
        try:
            json.loads(path.read_text())
        except FileNotFoundError:
            continue
        except ValueError:
            path.unlink()
            said.append(f"{path} was damaged, and is removed")
    return said


def _queue() -> list[str]:
    """A message moves to `processed` when a worker takes it; a worker that takes it from `in` again finds the training's state."""
    broker, said = EXPERIMENTS / "celery" / "broker", []
    for path in sorted(broker.glob("processed/*.celery.msg")):
        try:
            content = json.loads(path.read_text())
            head = content["headers"]
            ended = head["task"] != RUN or (broker.parent / "result" / f"celery-task-meta-{head['id']}").exists()
            revision = None if ended else json.loads(base64.b64decode(content["body"]))[0][0]["stash_rev"]
        except (IndexError, KeyError, TypeError, ValueError):
            continue
        if revision and _stashed(revision):
            path.rename(broker / "in" / path.name)
            said.append("an experiment whose worker had died is queued again: dvc queue start")
    return said


def _stashed(revision: str) -> bool:
    """Back among the commits that wait for a worker, from which one takes it: else the experiment has no name, and no commit below it."""
    known = subprocess.run(["git", "reflog", "show", "--format=%H", STASH], capture_output=True, text=True).stdout.split()
    if revision in known:
        return True
    message = subprocess.run(["git", "log", "-1", "--format=%s", revision], capture_output=True, text=True).stdout.strip()
    return subprocess.run(["git", "update-ref", "--create-reflog", "-m", f"commit: {message}", STASH, revision],
                          capture_output=True).returncode == 0


def _folders() -> list[str]:
    """Copies of the checkout that an experiment worked in."""
    folders = [path for path in (*EXPERIMENTS.glob("tmp*"), *EXPERIMENTS.glob("standalone/tmp*")) if path.is_dir()]
    for path in folders:
        shutil.rmtree(path)
    return [f"{len(folders)} folders of experiments that died are removed"] if folders else []


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with program():
        if not Path("dvc.yaml").is_file():
            raise InputError("dvc.yaml does not exist here; run in the top directory of the project")
        for line in mend():
            print(line)


if __name__ == "__main__":
    main()
