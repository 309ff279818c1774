"""prune.order in the stages: what is left is what has the lowest scores of that order."""

import csv
import json
from pathlib import Path

import torch
from test_recipes import compose

from sparsify import data
from sparsify.compaction import ORDERS, scores
from sparsify.structure import analyse
from stages import networks, params, prune, runtime, train_baseline, train_bayesian, twins

OVERRIDES = ("recipe=smoke", "prior.kind=gaussian", "baseline.epochs=3", "bayesian.train.epochs=6", "prune.target.units=0.2")


def test_prune_cuts_by_the_order_that_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    compose(Path("params.yaml"), *OVERRIDES)
    torch.manual_seed(0)
    labels = torch.arange(300) % 10
    images = (20 * torch.rand(300, 1, 28, 28) + 20 * labels[:, None, None, None]).to(torch.uint8)
    data.save(runtime.DATASET, data.Raw(images, labels), data.Raw(images, labels), 20, 0)
    runtime.main(train_baseline.train_baseline)
    runtime.main(train_bayesian.train_bayesian)
    chosen, dataset = params.load(), data.load(runtime.DATASET)
    architecture, example = networks.architecture(chosen, dataset), networks.example(dataset)
    structure = analyse(networks.load(runtime.BASELINE, architecture), example)
    twin = twins.load(runtime.BAYESIAN, example, architecture, structure)
    left = {}
    for order in ORDERS:
        compose(Path("params.yaml"), *OVERRIDES, f"prune.order={order}")
        runtime.main(prune.prune)
        threshold = json.loads((runtime.METRICS / "prune.json").read_text())["prune"]["threshold"]
        with (runtime.PLOTS / "units.csv").open() as file:
            left[order] = {row["layer"]: int(row["kept"]) for row in csv.DictReader(file) if row["layer"] != "input"}
        found = scores(twin, structure, order).units
        assert left[order] == {name: max(1, int((score <= threshold + 1e-6 * abs(threshold)).sum())) for name, score in found.items()}
    assert len({tuple(units.items()) for units in left.values()}) > 1
