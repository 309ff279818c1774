"""prior.target and prune.target in the stages: beta follows, the cut is exact, and an interrupted training goes on with both."""

import csv
import json
from pathlib import Path

import pytest
import torch
from test_recipes import compose

from sparsify import data
from sparsify.bayes.target import Pressure
from stages import prune, runtime, train_baseline, train_bayesian


def prepare(*overrides):
    compose(Path("params.yaml"), "recipe=smoke", "baseline.epochs=3", "bayesian.train.epochs=12", "bayesian.train.batch_size=20",
            "bayesian.distill=0", *overrides)
    torch.manual_seed(0)
    labels = torch.arange(300) % 10
    images = (20 * torch.rand(300, 1, 28, 28) + 20 * labels[:, None, None, None]).to(torch.uint8)
    data.save(runtime.DATASET, data.Raw(images, labels), data.Raw(images, labels), 20, 0)
    runtime.main(train_baseline.train_baseline)


def curve():
    with (runtime.PLOTS / "bayesian_curve.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("overrides", "key", "most"), [
    (("prior.kind=gate", "prior.target.units=0.25"), "hidden_left", 20),
    (("prior.kind=gaussian", "prior.target.macs=0.3"), "macs_left", 0.3 * 48480),
    (("prior.kind=log_uniform", "prior.target.nonzeros=5000"), "nonzeros_left", 5000)])
def test_what_is_left_is_the_target(overrides, key, most, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepare(*overrides)
    runtime.main(train_bayesian.train_bayesian)
    runtime.main(prune.prune)
    figures = json.loads((runtime.METRICS / "prune.json").read_text())["prune"]
    assert 0.9 * most <= figures[key] <= most
    betas = [float(row["beta"]) for row in curve()]
    sizes = [float(row["expected_size_percent"]) for row in curve()]
    assert betas[0] != betas[1] and sizes[-1] < sizes[0]


def test_a_training_that_was_interrupted_goes_on_with_its_beta(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepare("prior.kind=gate", "prior.target.units=0.25")
    runtime.main(train_bayesian.train_bayesian)
    whole, network = curve(), runtime.BAYESIAN.read_bytes()
    runtime.BAYESIAN.unlink()
    taken, step = 0, Pressure.step

    def interrupted(pressure):
        nonlocal taken
        taken += 1
        if taken == 14 * 5 + 3:
            raise KeyboardInterrupt
        step(pressure)
    with monkeypatch.context() as patch:
        patch.setattr(Pressure, "step", interrupted)
        with pytest.raises(SystemExit):
            runtime.main(train_bayesian.train_bayesian)
    runtime.main(train_bayesian.train_bayesian)
    without_seconds = lambda rows: [{key: value for key, value in row.items() if key != "seconds"} for row in rows]  # noqa: E731
    assert without_seconds(curve()) == without_seconds(whole)
    assert runtime.BAYESIAN.read_bytes() == network
