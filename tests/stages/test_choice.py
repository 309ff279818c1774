"""What prune may look at."""

import json

import torch
from test_recipes import compose

from sparsify import data
from stages import params, prune, runtime, train_baseline, train_bayesian


def test_the_test_set_chooses_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    compose(tmp_path / "params.yaml", "recipe=smoke", "prior.kind=gaussian", "baseline.epochs=6")
    labels = torch.arange(200) % 10
    images = (20 * torch.rand(200, 1, 28, 28) + 20 * labels[:, None, None, None]).to(torch.uint8)

    def run(test_labels):
        data.save(runtime.DATASET, data.Raw(images, labels), data.Raw(images, test_labels), 20, 0)
        for stage in (train_baseline.train_baseline, train_bayesian.train_bayesian, prune.prune):
            stage(params.load())
        made = [path.read_bytes() for path in (runtime.BASELINE, runtime.BAYESIAN, runtime.COMPACT, runtime.PLOTS / "threshold_scan.csv")]
        return made, json.loads((runtime.METRICS / "prune.json").read_text())["prune"]["accuracy_finetuned"]
    (made, accuracy), (again, other) = run(labels), run(labels.flip(0))
    assert made == again
    assert accuracy != other
