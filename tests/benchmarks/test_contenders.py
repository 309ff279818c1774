"""The training benchmark's contenders: that each takes a step, and what it is compared with."""

import pytest
import torch

training = pytest.importorskip("benchmarks.training")  # which needs what reads params.yaml
timing = pytest.importorskip("benchmarks.timing")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_captured_contenders_are_compared_with_the_captured_dense_step(cpu_or_cuda, precision):
    steps = training.contenders("lenet-300-100", 0.05, 4, cpu_or_cuda, ["dense", "gate", "mixture"], precision)
    assert list(steps) == ["dense", "mixture", "gate", "dense, captured", "mixture, captured", "gate, captured"]
    times = timing.milliseconds(steps, rounds=1, per_round=1)
    assert all(value > 0 for values in times.values() for value in values)
    times = {"dense": [2.0], "gate": [6.0], "dense, captured": [1.0], "gate, captured": [2.0]}
    assert {row["step"]: row["times_dense_median"] for row in training.rows(times)} == {
        "dense": 1, "gate": 3, "dense, captured": 1, "gate, captured": 2}


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["dense", "gate"])
def test_a_captured_step_has_the_kernels_of_the_eager_one(name):
    steps = training.contenders("lenet-300-100", 1.0, 64, torch.device("cuda"), [name])
    eager, captured = (timing.kernels(step) for step in steps.values())
    assert 20 < eager["kernels"] < 2000 and eager["kernel_ms"] > 0, eager
    assert captured["kernels"] == pytest.approx(eager["kernels"], rel=0.2), (eager, captured)


def test_without_a_gpu_no_kernels_are_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert timing.kernels(lambda: None) == {}
