"""A stage that was interrupted, run again: where its state lies, and that it is used."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from test_recipes import compose

from sparsify import checkpoint, data, training
from stages import params, runtime, train_baseline


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    compose(tmp_path / "params.yaml", "recipe=smoke", "baseline.epochs=4")
    images, labels = torch.randint(0, 256, (120, 1, 28, 28), dtype=torch.uint8), torch.arange(120) % 10
    data.save(runtime.DATASET, data.Raw(images, labels), data.Raw(images, labels), 20, 0)
    return tmp_path


def test_a_stage_that_was_interrupted_writes_the_same_model_when_run_again(workspace, monkeypatch):
    train_baseline.train_baseline(params.load())
    through = runtime.BASELINE.read_bytes()
    runtime.BASELINE.unlink()
    with monkeypatch.context() as patch:
        answers = iter([50.0, 50.0])

        def accuracy(*_):
            try:
                return next(answers)
            except StopIteration:
                raise KeyboardInterrupt from None
        patch.setattr(train_baseline, "accuracy_percent", accuracy)
        with pytest.raises(KeyboardInterrupt):
            train_baseline.train_baseline(params.load())
    assert not runtime.BASELINE.exists() and len(list(Path("scratch").glob("baseline-*.pt"))) == 1
    train_baseline.train_baseline(params.load())
    assert runtime.BASELINE.read_bytes() == through
    assert pd.read_csv("plots/baseline_curve.csv")["validation_accuracy"].tolist()[:2] == [50, 50]  # of the first run: taken up
    assert not list(Path("scratch").iterdir())


def test_a_training_that_ended_is_not_lost_before_its_stage_has_written(workspace, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt
    with monkeypatch.context() as patch:
        patch.setattr(train_baseline, "quality", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_baseline.train_baseline(params.load())
    [state] = Path("scratch").iterdir()
    spent = checkpoint.seconds(state)
    with monkeypatch.context() as patch:
        patch.setattr(training, "descend", interrupted)  # no step is left to take
        train_baseline.train_baseline(params.load())
    report = json.loads((runtime.METRICS / "baseline.json").read_text())["baseline"]
    assert report["seconds"] >= round(spent, 1) - 0.1  # the first run's epochs count
    assert not list(Path("scratch").iterdir())


def test_the_name_of_a_state_changes_with_parameters_and_inputs(workspace):
    def name(*overrides):
        compose(workspace / "params.yaml", "recipe=smoke", *overrides)
        return runtime.training_state("baseline", params.load(), runtime.DATASET)

    first = name()
    assert first == name() and first.parent.name == "scratch"
    assert first != name("seed=2")
    (runtime.DATASET / "labels.npy").write_bytes(b"other")
    assert first != name()
