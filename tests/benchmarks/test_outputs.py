"""How two runs are compared."""

import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks import outputs

REPO = Path(__file__).parents[2]


def test_another_figure_weight_or_file_is_told_and_a_time_is_not(tmp_path):
    for name, weight, accuracy in (("first", 1.0, 90.0), ("second", 1.5, 91.0)):
        (tmp_path / name / "models").mkdir(parents=True)
        (tmp_path / name / "metrics").mkdir()
        for file in ("dvc.yaml", "params.yaml"):
            shutil.copy(REPO / file, tmp_path / name)
        save_file({"a": torch.tensor([2.0, weight])}, tmp_path / name / "models" / "compact.safetensors")
        (tmp_path / name / "metrics" / "prune.json").write_text(f'{{"prune": {{"accuracy": {accuracy}, "seconds": {weight}}}}}')
    (tmp_path / "first" / "metrics" / "sweep.json").write_text("{}")
    assert outputs.rows(tmp_path / "first", tmp_path / "second") == [
        {"file": "metrics/prune.json", "apart": "prune.accuracy 90.0, 91.0"}, {"file": "metrics/sweep.json", "apart": "is there once"},
        {"file": "models/compact.safetensors", "apart": "2.5e-01"}]
    assert outputs.rows(tmp_path / "first", tmp_path / "first") == []
