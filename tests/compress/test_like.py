"""The magnitude control: as much is left as of a network that was cut otherwise, and what is left is the largest."""

import pytest
import torch
from chains import half, hidden, layers
from torch import nn

from sparsify import models
from sparsify.compress import magnitude
from sparsify.compress.remove import remove
from sparsify.structure import analyse

NETWORKS = {"lenet-300-100": ((1, 9, 7), 0.2), "lenet5": ((1, 28, 28), 0.3), "vgg16": ((3, 32, 32), 0.1)}
every_network = pytest.mark.parametrize("name", NETWORKS)


@pytest.fixture
def dense(hostile):
    def make(name):
        shape, width = NETWORKS[name]
        model, x = hostile(models.build(name, shape, 10, width)), torch.randn(2, *shape, dtype=torch.float64)
        return model, x, analyse(model, x)
    return make


@every_network
def test_as_many_units_stay_and_the_largest(dense, name):
    model, x, structure = dense(name)
    keep = {layer: half(n) for layer, n in hidden(model).items()}
    small, _ = remove(model, x, keep, structure=structure)
    found, weights = magnitude.like(model, structure, small)
    assert not weights
    assert hidden(remove(model, x, found, structure=structure)[0]) == hidden(small)
    for layer, mask in found.items():
        norms = layers(model)[layer].weight.detach().flatten(1).norm(dim=1)
        assert mask.sum() == keep[layer].sum() and norms[mask].min() >= norms[~mask].max()


def test_as_many_inputs_stay_and_the_largest(dense):
    model, x, structure = dense("lenet-300-100")
    pixels = torch.rand(63) < 0.3
    small, _ = remove(model, x, {"input": pixels}, structure=structure)
    found, _ = magnitude.like(model, structure, small)
    assert remove(model, x, found, structure=structure)[0].fc1.in_features == small.fc1.in_features == pixels.sum()
    norms = model.fc1.weight.detach().norm(dim=0)
    assert list(found) == ["input"] and norms[found["input"]].min() >= norms[~found["input"]].max()


def test_a_flattened_unit_counts_once(hostile):
    network = hostile(nn.Sequential(nn.Conv2d(1, 6, 2), nn.ReLU(), nn.Flatten(), nn.Linear(24, 5), nn.ReLU(), nn.Linear(5, 3)))
    x = torch.randn(2, 1, 3, 3, dtype=torch.float64)
    structure = analyse(network, x)
    small, _ = remove(network, x, {"0": torch.arange(6) < 2}, structure=structure)
    found, _ = magnitude.like(network, structure, small)
    assert list(found) == ["0"] and found["0"].sum() == 2


@pytest.mark.parametrize("share", [0.3, 0.05])
@pytest.mark.parametrize("inputs", [True, False])
def test_as_many_weights_of_each_layer_are_used_where_single_weights_are_zero(dense, share, inputs):
    model, x, structure = dense("lenet-300-100")
    weights = {f"{name}.weight": torch.rand_like(layer.weight) < max(share, 3 / layer.weight[0].numel())
               for name, layer in layers(model).items()}
    small, _ = remove(model, x, weights=weights, inputs=inputs, structure=structure)
    units, found = magnitude.like(model, structure, small)
    assert not units
    cut = layers(remove(model, x, weights=found, inputs=inputs, structure=structure)[0])
    for name, layer in layers(small).items():
        scores, kept = layers(model)[name].weight.abs(), found[f"{name}.weight"]
        assert cut[name].weight.count_nonzero() >= layer.weight.count_nonzero()
        assert scores[kept].min() >= scores[~kept].max()
