"""README's section "Your own data", word for word, with less data and fewer epochs: its commands end in networks, its code runs on them."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from dvc.utils.hydra import compose_and_dump
from safetensors.torch import load_file
from torchvision.models import squeezenet1_1

from examples import shapes
from stages import compose

TOP = Path(__file__).parent.parent
SECTION = (TOP / "README.md").read_text().split("\n## Your own data\n")[1].split("\n## ")[0]
COMMANDS = re.findall(r"^dvc exp run (.*)$", SECTION, re.M)
OWN, ONNX = re.findall(r"```python\n(.*?)```", SECTION, re.S)
SHORT = ["baseline.epochs=1", "bayesian.train.epochs=1", "bayesian.kl_warmup_epochs=0", "finetune.train.epochs=1", "prune.threshold=9"]
# A smaller one than the recipe's ResNet-18, which takes its time on a CPU.
PHOTOS = [*SHORT, "model.name=torchvision:squeezenet1_1", "data.validation=6", *(f"{section}.batch_size=6" for section in (
    "baseline", "bayesian.train", "finetune.train"))]


def overrides(command: str, photos: Path, weights: Path) -> list[str]:
    """KEY=VALUE of a command, with paths that are there."""
    words = shlex.split(command)
    assert words[::2] == ["-S"] * (len(words) // 2)
    return [word.replace("/path/to/photos", str(photos)).replace("/path/to/resnet18.pth", str(weights)) for word in words[1::2]]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """What a user has after README's words: the project, mine/own.py and mine/table.csv, and outside of it photos and weights."""
    top = tmp_path_factory.mktemp("your-own") / "checkout"
    for name in ("sparsify", "stages", "conf", "examples"):
        shutil.copytree(TOP / name, top / name, ignore=shutil.ignore_patterns("__pycache__", "shapes"))
    shutil.copy(TOP / "dvc.yaml", top)
    shapes.write(top.parent / "photos", {"train": 6, "test": 2}, seed=0)
    torch.save(squeezenet1_1(num_classes=5).state_dict(), top.parent / "weights.pth")
    (top / "mine").mkdir()
    (top / "mine" / "own.py").write_text(OWN)
    random = np.random.default_rng(0)
    table = pd.DataFrame(random.normal(size=(400, 4)), columns=list("abcd"))
    table.assign(kind=(table["a"] + table["b"] > 0).astype(int)).to_csv(top / "mine" / "table.csv", index=False)
    return top


def run(checkout: Path, number: int, target: str, more: list[str]) -> dict:
    """A command of README's, up to a stage.  -> the parameters"""
    chosen = [*overrides(COMMANDS[number], checkout.parent / "photos", checkout.parent / "weights.pth"), *more]
    command = [sys.executable, "-m", "stages.run", target, *(part for pair in chosen for part in ("-S", pair))]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "SPARSIFY_", "PYTHONPATH"))}
    done = subprocess.run(command, cwd=checkout, env=environment | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return yaml.safe_load((checkout / "params.yaml").read_text())


@pytest.mark.parametrize("command", COMMANDS)
def test_dvc_composes_every_command_as_it_stands(command, tmp_path):
    chosen = overrides(command, tmp_path, tmp_path)
    compose_and_dump(str(tmp_path / "params.yaml"), str(TOP / "conf"), None, "config", "", chosen)
    assert yaml.safe_load((tmp_path / "params.yaml").read_text()) == compose.composed(*chosen, conf=TOP / "conf")


def test_photos_end_as_a_file_that_runs_without_torch(checkout, tmp_path):
    run(checkout, 0, "export", PHOTOS)
    without_torch = "import sys\nsys.modules['torch'] = None\n" + ONNX
    done = subprocess.run([sys.executable, "-c", without_torch], cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"\[[012] [012]\]\n", done.stdout)
    for name in re.findall(r"^\| `(models/\S+)` \|", SECTION, re.M):
        assert (checkout / name).stat().st_size


def test_training_starts_from_weights_of_other_classes(checkout):
    run(checkout, 1, "train_baseline", [*PHOTOS, "baseline.lr=1.0e-9", "baseline.weight_decay=0.0"])
    given, trained = torch.load(checkout.parent / "weights.pth"), load_file(checkout / "models/baseline.safetensors")
    assert given["classifier.1.weight"].shape[0] == 5 and trained["classifier.1.weight"].shape[0] == 3
    torch.testing.assert_close(trained["features.0.weight"], given["features.0.weight"])


def test_a_table_and_a_network_of_ones_own_go_through(checkout):
    params = run(checkout, 2, "export", [*SHORT, "baseline.epochs=20"])
    assert params["model"]["name"] == "mine.own:network"
    metrics = yaml.safe_load((checkout / "metrics" / "baseline.json").read_text())["baseline"]
    assert metrics["accuracy"] > 85
    assert (checkout / "models/export/compact.onnx").stat().st_size
