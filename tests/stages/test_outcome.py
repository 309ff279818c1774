"""The last line of each stage names its own figures and its own files."""

import json
from pathlib import Path

import pytest
import yaml

from stages import outcome

TOP = Path(__file__).parents[2]
GOOD, POOR = ({"accuracy": accuracy, "validation_accuracy": accuracy + 0.6} for accuracy in (95.6, 93.4))
SAID = {
    "train_baseline": ("dense network, 95.60 % on test, 96.20 % on validation", GOOD),
    "train_bayesian": ("Bayesian network, 93.40 % on test, 94.00 % on validation", POOR),
    "prune": ("compact network, 45 of 400 hidden units and 17,984 of 266,200 weights, 94.60 % on test, 96.80 % on validation",
              {"hidden_left": 45, "hidden_total": 400, "nonzeros_left": 17984, "weights_total": 266200, "weights_left": 17985,
               "accuracy_compact": 94.1, "accuracy_finetuned": 94.6, "validation_accuracy_finetuned": 96.8}),
    "controls": ("magnitude at the same size, 95.60 % on test, 96.20 % on validation; "
                 "scratch at the same size, 93.40 % on test, 94.00 % on validation", {"magnitude": GOOD, "scratch": POOR, "seed": 1}),
    "export": ("3 files, the answers of those in float32 within 2e-07 of torch's",
               {"dense": {"pt2": {"largest_gap": 0.0}, "int8": {}}, "compact": {"onnx": {"largest_gap": 2.4e-7}}}),
    "benchmark": ("compact network, 8.2 times as fast as the dense one at a batch of 1,000 (0.500 ms)",
                  {"speedup": {"batch_1": {"median": 1.7}, "batch_1000": {"median": 8.2}},
                   "dense": {"latency_ms_batch_1": {"median": 0.05}, "latency_ms_batch_1000": {"median": 4.1}},
                   "compact": {"latency_ms_batch_1": {"median": 0.03}, "latency_ms_batch_1000": {"median": 0.5}}}),
    "uncertainty": ("calibration error in points, dense 2.9, Bayesian 1.6, compact 3.5",
                    {"dense": {"calibration_error": 2.9}, "bayesian_mean": {"calibration_error": 1.6},
                     "bayesian_samples": {"calibration_error": 1.8}, "compact": {"calibration_error": 3.5}}),
    "sweep": ("magnitude pruning, with the short retraining of the sweep, 95 % of the weights and 0 % of the units may go",
              {"weights": {"pruned": {"within_drop": {"share": 70.0}}, "recovered": {"within_drop": {"share": 95.0}}},
               "units": {"pruned": {"within_drop": {"share": 25.0}}, "recovered": {"within_drop": {}}}})}


@pytest.mark.parametrize("stage", SAID)
def test_a_stage_names_its_figures(stage, tmp_path):
    (expected, figures), name = SAID[stage], stage.removeprefix("train_")
    (tmp_path / f"{name}.json").write_text(json.dumps({name: figures}))
    assert outcome.line(stage, tmp_path, []) == f"{expected}: "


def test_every_stage_has_words_of_its_own():
    stages = yaml.safe_load((TOP / "dvc.yaml").read_text())["stages"]
    assert set(stages) == {*SAID, *outcome.NAMES}


def test_files_are_named_and_many_of_a_folder_counted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [Path(f"{folder}/{name}") for folder, names in (("models", "a"), ("metrics", "b"), ("plots", "cdefg")) for name in names]
    for path in paths[:-1]:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert outcome.line("plot", tmp_path, paths) == "pictures: models/a, metrics/b, 4 files in plots/"
    assert outcome.line("download", tmp_path, paths[:3]) == "data set: models/a, metrics/b, plots/c"
