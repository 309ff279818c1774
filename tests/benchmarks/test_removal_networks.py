"""The judge of the table of networks: it tells right from wrong, and outlives what it judges."""

import copy
import os
import time

import pytest
import torch
from torch import nn

from benchmarks import apart
from benchmarks import removal_networks as table


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)).double().eval()


def cut(model, units, columns):
    """By hand, in the copy whose entries hold their numbers."""
    small = table.numbered(model)
    first, norm, _, last = small
    for layer, name in ((first, "weight"), (first, "bias"), (norm, "weight"), (norm, "bias")):
        setattr(layer, name, nn.Parameter(getattr(layer, name).detach()[units]))
    norm.running_mean, norm.running_var = norm.running_mean[units], norm.running_var[units]
    last.weight = nn.Parameter(last.weight.detach()[:, columns])
    return small


@pytest.mark.parametrize(("columns", "word"), [([0, 2, 3, 5], "equal"), ([0, 1, 2, 3], "differs by")])
def test_a_removal_is_equal_if_the_same_units_leave_rows_and_columns_and_differs_if_others_do(columns, word):
    model = network()
    small, masked = table.filled(cut(model, [0, 2, 3, 5], columns), model)
    assert torch.equal(small[0].weight, model[0].weight[[0, 2, 3, 5]])
    assert [row for row in range(6) if masked[0].weight[row].any()] == [0, 2, 3, 5]
    found = table.verdict(small, masked, (torch.randn(5, 4, dtype=torch.float64),), 63)
    assert found["verdict"].startswith(word) and found["left"] == pytest.approx(43 / 63, abs=1e-3)


def test_what_removes_nothing_is_not_called_equal():
    model = network()
    found = table.verdict(*table.filled(table.numbered(model), model), (torch.randn(5, 4, dtype=torch.float64),), 63)
    assert found["verdict"] == "removes nothing"


def test_seconds_of_a_function_are_noted_and_the_function_is_put_back():
    plain = copy.deepcopy
    with table.timed(copy, "deepcopy") as seconds:
        copy.deepcopy([1])
        copy.deepcopy([2])
    assert len(seconds) == 2 and copy.deepcopy is plain


def test_a_tool_that_fails_dies_or_never_ends_is_an_answer():
    def fails(name):
        raise ValueError(f"no {name}")
    assert apart.answer(lambda name: {"verdict": name}, "equal", 60) == {"verdict": "equal"}
    assert apart.answer(fails, "unet", 60) == {"verdict": "crashes: ValueError: no unet"}
    assert apart.answer(lambda name: os._exit(1), "unet", 60) == {"verdict": "crashes: the process died"}
    assert apart.answer(lambda name: time.sleep(60), "unet", 0.2) == {"verdict": "no answer in 0.2 s"}
