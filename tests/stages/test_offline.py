"""No stage opens a network connection, but download where its data has to come from elsewhere."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
CUT = ("unshare", "--map-root-user", "--net")
PROBE = "import socket; socket.create_connection(('127.0.0.1', 9), 1)"


@pytest.mark.slow
def test_all_stages_run_with_the_network_cut(tmp_path):
    if not shutil.which("unshare") or subprocess.run([*CUT, "true"], capture_output=True).returncode:
        pytest.skip("this system lets nobody cut the network of a process")
    said = subprocess.run([*CUT, sys.executable, "-c", PROBE], capture_output=True, text=True).stderr
    assert "unreachable" in said  # not even this machine can be reached
    for name in ("sparsify", "stages", "conf"):
        shutil.copytree(REPO / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPO / "dvc.yaml", tmp_path)
    changes = ("recipe=smoke", "baseline.epochs=1", "bayesian.train.epochs=1", "sweep.shares=[50]", "sweep.seeds=[1]")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "SPARSIFY_", "PYTHONPATH"))}
    done = subprocess.run([*CUT, sys.executable, "-m", "stages.run", *(part for each in changes for part in ("-S", each))],
                          cwd=tmp_path, env=environment | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-1000:]
    assert (tmp_path / "plots" / "sweep.png").exists()
