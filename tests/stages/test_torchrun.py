"""Stages started by torchrun, in two processes on the CPU: what they leave, and how they end when one is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from test_recipes import compose

from sparsify import artifacts, data
from sparsify.compress import store
from sparsify.data import Raw
from stages import processes

REPO = Path(__file__).parents[2]
EPOCHS = 20
WATCHED = """from stages import runtime, train_bayesian
from stages.snapshots import Snapshots
after_epoch = Snapshots.after_epoch

def noted(self):
    with open("epochs", "a") as log:
        log.write(".")
    after_epoch(self)
Snapshots.after_epoch = noted
runtime.main(train_bayesian.train_bayesian)
"""  # the stage, with a note of every epoch


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torchrun")
    compose(folder / "params.yaml", "recipe=smoke", "prior.kind=mixture", "baseline.epochs=2", "baseline.batch_size=64",
            f"bayesian.train.epochs={EPOCHS}")
    torch.manual_seed(0)
    train, test = (Raw(torch.randint(0, 256, (n, 1, 28, 28), dtype=torch.uint8), torch.arange(n) % 10) for n in (2000, 100))
    data.save(folder / "data" / "dataset", train, test, 100, seed=0)
    return folder


def start(workspace: Path, module: str) -> subprocess.Popen:
    """In two processes, by torchrun."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DVC_")}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", module]
    return subprocess.Popen(command, cwd=workspace, env=environment | {"PYTHONPATH": f"{REPO}{os.pathsep}.", "OMP_NUM_THREADS": "1"},
                            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0)


def ended(program: subprocess.Popen) -> tuple[int, list[str]]:
    """Its status, and the lines of its processes: without those that torchrun and torch add."""
    try:
        _, said = program.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        os.killpg(program.pid, signal.SIGKILL)
        raise
    return program.returncode, [line for line in said.splitlines() if line.startswith(("error:", "Error", "RuntimeError"))]


def of_rank(program: subprocess.Popen, rank: int) -> int:
    """The process id of one of the processes that torchrun has started."""
    for child in Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split():
        if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return int(child)
    raise AssertionError("it has ended, or not begun")


def metrics(workspace: Path, stage: str) -> dict:
    return json.loads((workspace / "metrics" / f"{stage}.json").read_text())[stage]


def test_two_processes_train_are_killed_go_on_and_prune(workspace):
    assert ended(start(workspace, "stages.train_baseline")) == (0, [])
    assert metrics(workspace, "baseline")["processes"] == 2

    (workspace / "watched.py").write_text(WATCHED)
    program, log = start(workspace, "watched"), workspace / "epochs"
    while not log.exists() or log.stat().st_size < 6:  # three of each process
        assert program.poll() is None, program.communicate()
        time.sleep(0.02)
    os.kill(of_rank(program, 1), signal.SIGKILL)
    assert ended(program) == (1, [processes.LOST])
    assert not (workspace / "models" / "bayesian.safetensors").exists()
    [state] = workspace.glob("scratch/bayesian-*.pt")
    before = artifacts.read_tensors(state)["curve"]
    assert 2 <= len(before) < EPOCHS

    assert ended(start(workspace, "stages.train_bayesian")) == (0, [])
    lines = (workspace / "plots" / "bayesian_curve.csv").read_text().splitlines()[1:]
    assert len(lines) == EPOCHS
    assert lines[0].split(",")[1] == f"{before[0]['nll']}"  # taken up, not begun again
    assert not list(workspace.glob("scratch/*.pt"))

    assert ended(start(workspace, "stages.prune")) == (0, [])
    compact = store.load(workspace / "models" / "compact.safetensors")
    assert sum(weight.numel() for weight in compact.parameters() if weight.ndim > 1) == metrics(workspace, "prune")["weights_left"]


def test_an_error_of_all_is_said_once(workspace, tmp_path):
    compose(tmp_path / "params.yaml", "recipe=smoke")
    status, [line] = ended(start(tmp_path, "stages.train_baseline"))
    assert status == 1
    assert line.startswith("error: data/dataset does not exist; ")


def test_a_stage_for_one_process_says_so():
    with pytest.raises(SystemExit, match=r"error: download is for one process, not for 2; run python -m stages\.download"):
        processes._join(None, 0, 2, "download")
