"""What a unit and a weight cost, by hand."""

import pytest
import torch
from torch import nn

from sparsify.structure import analyse, unit_costs, weight_costs

IMAGES = torch.zeros(2, 2, 5, 5)


@pytest.fixture
def small():
    """5x5 images of 2 channels: 3 kernels of 2x2 at 4x4 places, pooled to 2x2, 12 features, 4 units, 3 classes."""
    return nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 4), nn.ReLU(),
                         nn.Linear(4, 3, bias=False))


def test_weight_costs_by_macs_average_to_one(small):
    structure, mean = analyse(small, IMAGES), (24 * 16 + 48 + 12) / 84
    assert weight_costs(structure, small, "macs") == pytest.approx({"0.weight": 16 / mean, "5.weight": 1 / mean, "7.weight": 1 / mean})
    assert weight_costs(structure, small, "weights") == {"0.weight": 1, "5.weight": 1, "7.weight": 1}


def test_weight_costs_by_units_make_every_row_cost_the_same(small):
    costs, mean = weight_costs(analyse(small, IMAGES), small, "units"), (3 + 4 + 3) / 84  # the rows of all three layers, over their weights
    assert costs == pytest.approx({"0.weight": 1 / 8 / mean, "5.weight": 1 / 12 / mean, "7.weight": 1 / 4 / mean})


@pytest.mark.parametrize(("by", "costs"), [
    ("units", (1, 1)),
    # a kernel: 8 weights in, 4 flattened features of 4 weights out; a hidden unit: 12 in, 3 out
    ("weights", (8 + 16, 12 + 3)),
    ("macs", tuple(count * 84 / 444 for count in (8 * 16 + 16, 12 + 3)))])
def test_unit_costs_by_hand(small, by, costs):
    found = unit_costs(analyse(small, IMAGES), small, by)
    assert (found["0"], found["5"]) == pytest.approx(costs)
