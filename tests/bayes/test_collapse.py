"""The alarm for collapse: what, where, what to change, once for each cause, and none where nothing is wrong."""

import pytest
import torch
from torch import nn

from sparsify.bayes.collapse import Alarm, left
from sparsify.bayes.convert import bayesianize
from sparsify.bayes.groups import groups_of

LABELS = torch.tensor([0] * 6 + [1] * 4)


@pytest.fixture(params=["gaussian", "gate", "log_uniform"])
def twin(request, prior_settings):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    return bayesianize(model, torch.randn(2, 8), prior_settings(kind=request.param))


def drown(group, but):
    """All of a group's units or weights, but for the first `but`, which have none, in noise."""
    mean, log_var = (group.mean, group.log_var) if hasattr(group, "mean") else (group.layers[0].weight, group.layers[0].log_var)
    flat = group.log_alpha().numel()
    with torch.no_grad():
        rows = log_var.reshape(flat, -1)
        rows[:but] = -30
        rows[but:] = 2 * mean.reshape(flat, -1)[but:].abs().max().log() + 5


def test_a_layer_about_to_lose_its_last_unit_is_told_once(twin):
    alarm, first = Alarm(LABELS, 0, "lower prior.beta"), groups_of(twin)[0]
    assert alarm.lines(twin, 1, 90.0) == []
    drown(first, but=2)
    assert alarm.lines(twin, 2, 90.0) == []
    drown(first, but=1)
    total, what = left(twin)[first.name][1:]
    assert alarm.lines(twin, 3, 90.0) == [
        f"epoch 3: about to lose all they have: {first.name} (1 of {total} {what}) left with less noise than signal; lower prior.beta"]
    drown(first, but=0)
    assert alarm.lines(twin, 4, 90.0) == []


def test_accuracy_at_chance_is_told_once_after_the_quiet_epochs(twin):
    alarm = Alarm(LABELS, 2, "lower prior.beta")
    assert alarm.lines(twin, 2, 60.0) == []
    assert alarm.lines(twin, 3, 60.1) == []
    assert alarm.lines(twin, 4, 60.0) == [
        "epoch 4: validation accuracy is 60 %, no better than one answer for all (60 %); lower prior.beta"]
    assert alarm.lines(twin, 5, 10.0) == []
