"""Who teaches the small network, that it keeps its zeros, and what an epoch takes."""

import copy

import pytest
import torch
from torch import nn

from sparsify import training
from sparsify.compress import recovery as recovery_of_a_cut
from sparsify.compress.recovery import Recovery
from sparsify.data import Split
from sparsify.losses import cross_entropy
from sparsify.task import Task

SPLIT = Split(torch.randn(16, 1, 2, 2, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 3)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_teacher_has_its_share_and_zeros_stay(train_settings, share):
    settings, teacher = train_settings(), nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    asked = []
    teacher.register_forward_hook(lambda *_: asked.append(1))
    small = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    with torch.no_grad():
        small[1].weight[1] = 0
    curve = Recovery(SPLIT, Task(SPLIT, SPLIT).learnt(settings, teacher, share, 2.0), lambda _: {}, settings, 1)(small, "test")
    assert bool(asked) == ("distillation" in curve[-1]) == (share > 0)
    assert curve[-1]["nll"] < curve[0]["nll"]
    assert not small[1].weight[1].any() and small[1].weight[0].all()


def test_a_recovery_hangs_on_its_own_seed_and_a_short_one_has_the_whole_schedule(train_settings):
    small, settings = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), train_settings(epochs=8)
    recovery, weights = Recovery(SPLIT, lambda small: cross_entropy(small, settings), lambda _: {"accuracy": 1.0}, settings, 1), []
    for _ in range(2):
        torch.rand(3)
        weights.append(copy.deepcopy(small))
        assert [row["accuracy"] for row in recovery(weights[-1], "test", 2)] == [1.0, 1.0]
    assert torch.equal(weights[0][1].weight, weights[1][1].weight)
    short = copy.deepcopy(small)
    Recovery(SPLIT, recovery.loss, recovery.evaluate, train_settings(epochs=2), 1)(short, "test")
    assert torch.equal(short[1].weight, weights[0][1].weight)


def test_an_epoch_counts_one_look_at_validation(train_settings, monkeypatch):
    """By a clock that stands still but for it: the steps of an epoch are more than those that are timed."""
    clock, settings = [0.0], train_settings(batch_size=1)
    for module in (recovery_of_a_cut.time, training.time):
        monkeypatch.setattr(module, "perf_counter", lambda: clock[0])

    def evaluate(_):
        clock[0] += 5
        return {"accuracy": 1.0}
    many = Split(SPLIT[:].repeat(8, 1, 1, 1), SPLIT.labels.repeat(8))
    recovery = Recovery(many, lambda small: cross_entropy(small, settings), evaluate, settings, 1)
    assert recovery.seconds_per_epoch(nn.Sequential(nn.Flatten(), nn.Linear(4, 3))) == 5
