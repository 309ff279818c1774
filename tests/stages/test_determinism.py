"""The default pipeline twice, with the same seed on the same machine: the same bits, but for times."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import outputs

REPO = Path(__file__).parents[2]


def copied(folder, *changes):
    """The code and the parameters of the project, in which the pipeline has run with one thread."""
    for name in ("sparsify", "stages", "conf"):
        shutil.copytree(REPO / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(REPO / name, folder)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "SPARSIFY_", "PYTHONPATH"))}
    done = subprocess.run([sys.executable, "-m", "stages.run", *(part for each in changes for part in ("-S", each))], cwd=folder,
                          env=environment | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-1000:]
    return folder


@pytest.mark.slow
def test_the_default_pipeline_gives_the_same_bits_twice(tmp_path):
    changes = ("benchmark.engines=[eager]", "benchmark.repeats=1", "sweep.timing_repeats=1")  # what is timed is not compared
    first, second = (copied(tmp_path / name, *changes) for name in ("first", "second"))
    assert outputs.rows(first, second) == []
