"""Counts against counts by hand."""

import pytest
import torch
from torch import nn

from sparsify import models
from sparsify.measure.size import Size, output_places, reduction, size, unit_costs, weight_costs
from sparsify.models import Select

MNIST, CIFAR = (1, 28, 28), (3, 32, 32)


@pytest.fixture
def small():
    """5x5 images of 2 channels: 3 kernels of 2x2 at 4x4 places, pooled to 2x2, 12 features, 4 units, 3 classes."""
    return nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 4), nn.ReLU(),
                         nn.Linear(4, 3, bias=False))


def test_size_of_a_small_network(small):
    small[0].weight.data[0] = 0
    small[5].weight.data[1, :5] = 0
    assert size(small, (2, 5, 5)) == Size(
        weights={"0": 24, "5": 48, "7": 12}, nonzeros={"0": 16, "5": 43, "7": 12}, hidden={"0": 3, "5": 4}, inputs=50,
        macs=24 * 16 + 48 + 12, parameters=24 + 3 + 6 + 48 + 4 + 12, bytes=4 * (97 + 6) + 8)  # two statistics and a counter of 8 bytes


@pytest.mark.parametrize(("name", "shape", "weights", "macs", "parameters"), [
    ("lenet-300-100", MNIST, 784 * 300 + 300 * 100 + 1000, 266_200, 266_610),
    ("lenet5", MNIST, 430_500, 24 * 24 * 500 + 8 * 8 * 25_000 + 400_000 + 5_000, 431_080),
    ("mlp", MNIST, 784_000 + 1_000_000 + 500_000 + 100_000 + 2_000, 2_386_000, 2_388_710)])
def test_size_of_the_literatures_networks(name, shape, weights, macs, parameters):
    counted = size(models.build(name, shape, 10), shape)
    assert (sum(counted.weights.values()), counted.macs, counted.parameters) == (weights, macs, parameters)


def test_macs_of_vgg16():
    channels = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512)] + [(512, 512)] * 5
    places = [32] * 2 + [16] * 2 + [8] * 3 + [4] * 3 + [2] * 3
    macs = sum(9 * fan_in * fan_out * side**2 for (fan_in, fan_out), side in zip(channels, places, strict=True)) + 512 * 512 + 5120
    assert size(models.build("vgg16", CIFAR, 10), CIFAR).macs == macs


def test_places_of_strided_padded_and_dilated_convolutions():
    model = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.Conv2d(2, 2, (3, 2), dilation=2), nn.Flatten(), nn.Linear(18, 3))
    assert output_places(model, (1, 13, 9)) == {"0": 7 * 5, "1": 3 * 3, "3": 1}


def test_counting_leaves_mode_hooks_and_statistics_alone(small):
    small.train()
    mean = small[1].running_mean.clone()
    output_places(small, (2, 5, 5))
    assert small.training and small[1].training and torch.equal(small[1].running_mean, mean)
    assert not any(layer._forward_hooks for layer in small)


def test_a_network_in_float64_is_counted(small):
    assert size(small.double(), (2, 5, 5)).macs == 444


def test_inputs_are_those_that_are_selected():
    model = nn.Sequential(nn.Flatten(), Select(50, 7), nn.Linear(7, 3), nn.ReLU(), nn.Linear(3, 2))
    assert size(model, (2, 5, 5)).inputs == 7
    later = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(), Select(48, 7), nn.Linear(7, 3))
    assert size(later, (2, 5, 5)).inputs == 50


def test_reduction_compares_what_is_left_with_what_was():
    before = Size(weights={"a": 80, "b": 20}, nonzeros={"a": 80, "b": 20}, hidden={"a": 10}, inputs=8, macs=1000, parameters=110, bytes=440)
    after = Size(weights={"a": 12, "b": 8}, nonzeros={"a": 6, "b": 4}, hidden={"a": 3}, inputs=4, macs=40, parameters=23, bytes=92)
    assert reduction(before, after) == pytest.approx({
        "hidden_left": 3, "hidden_total": 10, "hidden_removed_percent": 70, "inputs_left": 4, "inputs_removed_percent": 50,
        "weights_left": 20, "weights_total": 100, "nonzeros_left": 10, "compression_dense": 5, "compression_nonzeros": 10, "macs_left": 40,
        "macs_total": 1000, "macs_ratio": 25,
        "sparsity_percent": {"a": 92.5, "b": 80}} | {"sparsity_percent": pytest.approx({"a": 92.5, "b": 80})})


def test_weight_costs_by_macs_average_to_one(small):
    mean = (24 * 16 + 48 + 12) / 84
    assert weight_costs(small, (2, 5, 5), "macs") == pytest.approx({"0": 16 / mean, "5": 1 / mean, "7": 1 / mean})
    assert weight_costs(small, (2, 5, 5), "weights") == {"0": 1, "5": 1, "7": 1}


def test_weight_costs_by_units_make_every_unit_cost_the_same(small):
    costs = weight_costs(small, (2, 5, 5), "units")
    mean = (3 + 4 + 3) / 84  # the units of all three layers, over their weights
    assert costs == pytest.approx({"0": 1 / 8 / mean, "5": 1 / 12 / mean, "7": 1 / 4 / mean})


@pytest.mark.parametrize(("by", "costs"), [
    ("units", (1, 1, 1)),
    # a colour channel: 3 kernels; a feature: 4 weights out, a quarter of the 8 in; a hidden unit: 3 out, 12 in
    ("weights", (12, 4 + 8 / 4, 3 + 12)),
    ("macs", tuple(count * 84 / 444 for count in (12 * 16, 4 + 8 * 16 / 4, 3 + 12)))])
def test_unit_costs_by_hand(small, by, costs):
    found = unit_costs(small, (2, 5, 5), by)
    for (name, units), cost in zip({"0": 2, "5": 12, "7": 4}.items(), costs, strict=True):
        torch.testing.assert_close(found[name], torch.full((units,), float(cost)))
