"""The project's own stages run without DVC, interrupted on the way, and their folder taken home."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from experiments import collect, runs
from stages import pipeline

REPO = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "stages.run", "prune", "--into", "home", "-S", "recipe=smoke", "-S", "seed=3", "-S", "baseline.epochs=1"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what a machine without DVC and git gets, with `dvc` there only to fail."""
    top = tmp_path_factory.mktemp("elsewhere")
    for name in ("sparsify", "stages", "conf"):
        shutil.copytree(REPO / name, top / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPO / "dvc.yaml", top)
    (top / "dvc.py").write_text("raise ImportError('there is no DVC here')")
    return top


def run(top: Path) -> list[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "SPARSIFY_", "PYTHONPATH"))}
    done = subprocess.run(COMMAND, cwd=top, env=environment | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    # Without what the stages print for themselves.
    known = pipeline.stages(yaml.safe_load((top / "params.yaml").read_text()), top / "dvc.yaml")
    return [line for line in done.stdout.splitlines() if line.split(": ")[0] in known]


def test_a_run_without_dvc_comes_home_as_rows(checkout):
    assert run(checkout) == [f"{stage}: python -m stages.{stage}" for stage in ("download", "train_baseline", "train_bayesian", "prune")]
    (checkout / "models" / "compact.safetensors").unlink()
    assert run(checkout) == ["download: is done", "train_baseline: is done", "train_bayesian: is done", "prune: python -m stages.prune"]

    taken = runs.read(checkout / "home")
    assert taken.params == yaml.safe_load((checkout / "params.yaml").read_text())
    [row] = collect.rows(taken.params, taken.metrics, "", taken.commit)
    prune = json.loads((checkout / "metrics" / "prune.json").read_text())["prune"]
    assert (row["recipe"], row["seed"], row["method"], row["epochs"]) == ("smoke", 3, "gaussian", 1 + 4 + 1)
    assert (row["accuracy"], row["weights_left"], row["device"]) == (prune["accuracy_finetuned"], prune["weights_left"], prune["device"])
    assert collect.overrides(taken.params, collect.recipes.composed("recipe=smoke")) == ["baseline.epochs=1"]
