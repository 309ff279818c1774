"""The order of the passes and what is divided by what, on a clock that only the contenders move."""

import statistics

import pytest
import torch
from torch import nn

from sparsify.measure import latency

IMAGES = torch.zeros(2, 3)


class Contender(nn.Module):
    """Takes `ms` milliseconds of the fake clock, a hundred times as long at first."""

    def __init__(self, name, ms, clock, log):
        super().__init__()
        self.name, self.ms, self.clock, self.log, self.calls = name, ms, clock, log, 0

    def forward(self, x):
        self.calls += 1
        self.clock[0] += self.ms / 1e3 * (100 if self.calls == 1 else 1)
        self.log.append((self.name, self.training, torch.is_grad_enabled(), x is IMAGES))


@pytest.fixture
def race(monkeypatch):
    clock, log = [0.0], []
    monkeypatch.setattr(latency.time, "perf_counter", lambda: clock[0])

    def run(repeats, min_round_ms, **ms):
        times = latency.latencies_ms({name: Contender(name, each, clock, log) for name, each in ms.items()}, IMAGES, repeats, min_round_ms)
        return times, log
    return run


def test_contenders_are_interleaved_after_a_warm_up(race):
    _, log = race(4, 0.0, a=2.0, b=7.0)
    order = "".join(name for name, *_ in log)
    warm_up = len(order) - 8
    assert set(order[:warm_up]) == {"a", "b"} and order[warm_up:] == "abababab"


def test_passes_are_in_evaluation_without_gradients_on_the_given_images(race):
    _, log = race(3, 0.0, a=1.0)
    assert all(entry == ("a", False, False, True) for entry in log)


def test_times_are_those_of_one_pass_without_the_slow_first(race):
    times, _ = race(5, 20.0, fast=0.5, slow=30.0)
    assert times["fast"] == pytest.approx([0.5] * 5) and times["slow"] == pytest.approx([30.0] * 5)


def test_a_round_lasts_at_least_the_time_asked_for(race):
    _, log = race(6, 20.0, fast=0.5, slow=30.0)
    order = "".join(name[0] for name, *_ in log)
    assert order.endswith(6 * ("f" * 40 + "s")) and not order.endswith("f" * 41 + "s")


def test_quartiles_match_the_standard_library():
    times = torch.rand(37, dtype=torch.float64).tolist()
    assert latency.quartiles(times) == pytest.approx(tuple(statistics.quantiles(times, n=4, method="inclusive")))
