"""The table of a removal, against counts by hand."""

import pytest
import torch
from torch import nn

from sparsify.compress.masks import mask
from sparsify.compress.remove import remove

KEPT = torch.tensor([True, False, True, True])


def lines(report):
    """By stream, its cells and its note."""
    shown = (line.split() for line in str(report).splitlines())
    return {cells[0]: (cells[1], cells[2], " ".join(cells[3:])) for cells in shown if len(cells) > 2}


@pytest.fixture
def removal():
    """4 kernels of 2x2 at 4 places, 3 units, 2 classes; a kernel and a unit go."""
    network = nn.Sequential(nn.Conv2d(1, 4, 2, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3), nn.ReLU(),
                            nn.Linear(3, 2))
    images = torch.randn(2, 1, 3, 3)
    keep = {"0": KEPT, "4": torch.tensor([True, False, True])}
    return network, images, keep


def test_a_report_counts_what_was_and_what_is_left(removal):
    small, report = remove(*removal)
    assert (report.before, report.after) == ({"0": 4, "4": 3, "6": 2}, {"0": 3, "4": 2, "6": 2})
    assert report.parameters == (16 + 8 + 51 + 8, 12 + 6 + 26 + 6)
    assert report.macs == (4 * 16 + 48 + 6, 4 * 12 + 24 + 4)  # four places of each kernel
    assert report.parameters[1] == sum(parameter.numel() for parameter in small.parameters())
    assert {name: units.tolist() for name, units in report.alive.items()} == {
        "0": KEPT.tolist(), "4": [True, False, True], "6": [True, True]}


def test_a_report_shows_every_stream_before_and_after_and_why_it_stayed(removal):
    _, report = remove(*removal, protect=["4"], multiple_of=2)
    shown = lines(report)
    assert shown["units"][:2] == ("before", "after")
    assert shown["0"] == ("4", "4", "1 of them silent")
    assert shown["4"] == ("3", "3", "kept: protected")
    assert shown["6"] == ("2", "2", "fixed: network output")


def test_a_report_tells_the_gap_that_was_measured(removal):
    small, report = remove(*removal)
    masked = mask(*removal)
    with torch.no_grad():
        assert (small(removal[1]) - masked(removal[1])).abs().max() < 1e-5
    assert 0 <= report.gap < 1e-12 and f"{report.gap:.1e} of the largest" in str(report)
    assert "parameters: 83 -> 50 (1.66 times fewer)" in str(report) and "multiply-accumulates by weights: 118 -> 76" in str(report)


def test_single_weights_at_zero_are_counted_and_those_that_left_are_not():
    network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    weights = {"0.weight": torch.tensor([[False] * 4, [True, False, True, True], [True] * 4])}
    _, report = remove(network, torch.randn(2, 4), weights=weights)
    assert report.zeros == 1 and "at zero among them: 1" in str(report)
    assert "at zero" not in str(remove(network, torch.randn(2, 4))[1])


def test_features_of_the_input_that_left_are_counted():
    network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    for keep, inputs, after, note in (({}, False, 4, "fixed: network input"), ({}, True, 4, ""), ({"input": KEPT}, False, 3, "")):
        _, report = remove(network, torch.randn(2, 4), keep, inputs=inputs)
        assert lines(report)["input"] == ("4", str(after), note)


@pytest.mark.parametrize(("network", "shape", "name", "reason"), [
    (nn.Linear(4, 3), (4,), "input", "network input"),
    (nn.Sequential(nn.Conv2d(2, 4, 1), nn.GroupNorm(2, 4), nn.Conv2d(4, 3, 1)), (2, 3, 3), "0",
     "group_norm takes statistics over its units (1)")])
def test_a_network_with_nothing_to_remove_says_so_and_why(network, shape, name, reason):
    _, report = remove(network, torch.randn(2, *shape))
    assert "nothing can be removed" in str(report)
    assert lines(report)[name][2] == f"fixed: {reason}" == f"fixed: {report.fixed[name]}"


def test_a_network_with_something_to_remove_does_not(removal):
    assert "nothing can be removed" not in str(remove(*removal[:2])[1])
