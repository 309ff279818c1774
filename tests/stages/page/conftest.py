"""A run as its files say it, in which every figure is another one, so that no two can stand for each other unseen."""

import copy
import json
from pathlib import Path

import pytest
import torch

import sparsify
from sparsify.compress import store
from sparsify.models import Architecture
from stages import params
from stages.page import facts

TOP = Path(__file__).parents[3]
WHERE = {"seed": 1, "device": "a processor", "threads": 2, "torch": "2.15.0", "dtype": "float32", "bfloat16_hardware": True}
SIZE = {"hidden_left": 45, "hidden_total": 400, "inputs_left": 784, "weights_left": 17985, "weights_total": 266200, "nonzeros_left": 17984,
        "macs_left": 17986, "macs_total": 266201}


def spread(middle):
    return {"median": middle, "q25": 0.9 * middle, "q75": 1.2 * middle}


METRICS = {
    "baseline": {"accuracy": 95.6, "validation_accuracy": 96.2, "nll": 0.22, "seconds": 2.5, **WHERE},
    "bayesian": {"accuracy": 94.9, "validation_accuracy": 96.4, "nll": 0.21, "seconds": 11.5, "prior": "gaussian", **WHERE},
    "prune": {"threshold": 0.73, "accuracy_compact": 94.0, "accuracy_finetuned": 94.5, "nll_finetuned": 0.31,
              "validation_accuracy_finetuned": 96.1, "seconds": 3.5, **SIZE, **WHERE},
    "controls": {"magnitude": {"accuracy": 94.7, "validation_accuracy": 95.0, "nll": 0.33, "seconds": 1.9, **SIZE},
                 "scratch": {"accuracy": 93.4, "validation_accuracy": 95.2, "nll": 0.34, "seconds": 7.1, **SIZE}, **WHERE},
    "benchmark": {"dense": {"accuracy": 95.6, "bytes": 1066440, "latency_ms_batch_1": spread(0.054), "latency_ms_batch_1000": spread(3.7)},
                  "compact": {"accuracy": 94.5, "bytes": 72156, "latency_ms_batch_1": spread(0.033), "latency_ms_batch_1000": spread(0.46)},
                  "speedup": {"batch_1": spread(1.6), "batch_1000": spread(8.2)},
                  "recommended": {"batch_1000": {"choice": "compact, onnxruntime, threads: 2", "latency_ms": 0.3}}, **WHERE},
    "uncertainty": {"dense": {"accuracy": 95.6, "calibration_error": 2.9}, "bayesian_mean": {"calibration_error": 1.6},
                    "bayesian_samples": {"calibration_error": 1.8}, "compact": {"accuracy": 94.5, "calibration_error": 3.6}, **WHERE},
    "sweep": {"dense": {"accuracy": 95.6}, **WHERE}}

TABLES = {
    "baseline_curve": "epoch,nll,validation_accuracy\n1,2.1,74.8\n2,0.4,96.2\n",
    "bayesian_curve": "epoch,nll,kl,validation_accuracy,beta,expected_size_percent\n1,0.03,0.2,96.4,0.001,100\n2,0.05,0.1,96.3,0.05,7\n",
    "finetune_curve": "epoch,nll,distillation,validation_accuracy\n" + "".join(f"{epoch},0.02,0.1,96.1\n" for epoch in range(1, 11)),
    "threshold_scan": "threshold,hidden_removed_percent,weights_removed_percent,validation_accuracy\n"
                      "9,0,0,96.4\n0.73,88,93,96.0\n-1,99,99,20\n",
    "units": "layer,total,kept\ninput,784,784\nfc1,300,22\nfc2,100,23\n",
    "latency": "engine,network,batch,threads,median,q25,q75\n" + "".join(
        f"eager,{network},{batch},1,{time},{0.9 * time},{1.2 * time}\n" for network, batch, time in (
            ("dense", 1, 0.054), ("compact", 1, 0.033), ("dense", 1000, 3.7), ("compact", 1000, 0.46))),
    "rejection": "rejected_percent,dense,bayesian_mean,compact,bayesian_samples\n0,95.6,94.9,94.5,94.8\n10,98.7,98.5,98.6,98.3\n",
    "sweep": "method,share,recovered,seed,accuracy,nonzeros_left\n" + "".join(
        f"{method},{share},1,{seed},{95 - share / 10 + seed / 10},{266200 - 2600 * share}\n"
        for method in ("weights", "units") for share in (0, 50, 90) for seed in (1, 2))}


@pytest.fixture(scope="session")
def network():
    """A LeNet-300-100 of a tenth of its width, some of its units gone."""
    torch.manual_seed(0)
    model, example = Architecture("lenet-300-100", (1, 28, 28), 10, 0.1).build(), torch.randn(2, 1, 28, 28)
    return sparsify.remove(model, example, {"fc1": torch.arange(30) < 22, "fc2": torch.arange(10) < 7})


@pytest.fixture
def run(tmp_path, monkeypatch, network):
    """The working directory is now a run; run(stage, key, value) changes one of its figures."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").symlink_to(TOP / "conf")
    for folder in ("metrics", "plots"):
        Path(folder).mkdir()
    figures = copy.deepcopy(METRICS)
    for name, table in TABLES.items():
        Path(f"plots/{name}.csv").write_text(table)
    small, report = network
    store.save(small, "models/compact.safetensors", architecture=Architecture("lenet-300-100", (1, 28, 28), 10, 0.1),
               data={"mean": [0.13], "std": [0.31], "unit": 255.0, "input_shape": [1, 28, 28], "classes": [str(d) for d in range(10)]},
               seed=1, recipe="default", removal=report.as_data())

    def change(stage=None, key=None, value=None):
        if stage:
            figures[stage][key] = value
        for name, content in figures.items():
            Path(f"metrics/{name}.json").write_text(json.dumps({name: content}))
    change()
    return change


@pytest.fixture
def found(run):
    return facts.read()


@pytest.fixture(scope="session")
def settings():
    return params.load(TOP / "params.yaml")


@pytest.fixture
def changed(found):
    """changed(units="layer,...") -> the facts with that table in place of theirs"""
    def make(**tables):
        for name, text in tables.items():
            Path(f"plots/{name}.csv").write_text(text)
        return facts.read()
    return make


