"""Masked networks: what is zeroed, and that it stays so in training."""

import copy

import pytest
import torch
from chains import CHAINS, close, given, half, hidden, images, layers, middle, pictures, with_zeros_read
from torch import nn

from sparsify import models
from sparsify.compress import masks
from sparsify.compress.masks import mask
from sparsify.compress.remove import remove
from sparsify.settings import InputError

every_chain = pytest.mark.parametrize("name", CHAINS)


@pytest.mark.parametrize("kept", [half, middle])
@every_chain
@torch.no_grad()
def test_a_masked_network_answers_as_one_whose_readers_are_given_zeros(hostile, name, kept):
    chain, x = hostile(CHAINS[name][0]()), images(name)
    keep = {layer: kept(n) for layer, n in hidden(chain).items()}
    masked = mask(chain, x, keep)
    close(masked(x), with_zeros_read(copy.deepcopy(chain), keep)(x), 1e-12)
    assert (masked(x) - chain(x)).abs().max() > 1e-3


def test_every_entry_of_a_masked_unit_is_zero_and_all_others_are_as_they_were(hostile):
    network = hostile(nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3), nn.ReLU(),
                                    nn.Linear(3, 2)))
    masked = mask(network, given(2, 4, 4), {"0": torch.tensor([True, False, True, True]), "4": torch.tensor([True, True, False])})
    expected = copy.deepcopy(network)
    with torch.no_grad():
        for vector in (expected[0].weight, expected[0].bias, expected[1].weight, expected[1].bias, expected[1].running_mean):
            vector[1] = 0
        expected[4].weight[:, 4:8] = 0
        expected[4].weight[2] = expected[4].bias[2] = expected[6].weight[:, 2] = 0
    for key, value in expected.state_dict().items():
        assert torch.equal(masked.state_dict()[key], value), key


def test_masked_weights_are_zero_and_the_rest_unchanged(network):
    keep = {f"{name}.weight": torch.rand(layer.weight.shape) < 0.5 for name, layer in layers(network).items()}
    masked = mask(network, pictures(), weights=keep)
    for name, layer in layers(network).items():
        assert torch.equal(layers(masked)[name].weight, layer.weight * keep[f"{name}.weight"])


def test_masks_of_weights_broadcast_over_rows_and_columns(network):
    rows, columns = torch.arange(15)[:, None] > 4, torch.rand(1, 784) < 0.5
    masked = mask(network, pictures(), weights={"fc1.weight": rows & columns, "fc2.weight": rows.T})
    assert torch.equal(masked.fc1.weight != 0, rows & columns)
    assert torch.equal(masked.fc2.weight != 0, rows.T.expand(5, 15))


def test_the_argument_is_not_changed(hostile):
    network = hostile(models.build("vgg16", (3, 32, 32), 10, 0.05))
    before = copy.deepcopy(network.state_dict())
    mask(network, given(3, 32, 32), {name: half(n) for name, n in hidden(network).items()},
         weights={"conv2.weight": torch.rand(3, 3, 3, 3) < 0.9})
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_silencing_what_nobody_reads_leaves_the_logits(network):
    keep = {f"{name}.weight": torch.ones_like(layer.weight, dtype=torch.bool) for name, layer in layers(network).items()}
    keep["fc3.weight"][:, [0, 3]] = False
    keep["fc2.weight"][:, 2:9] = False
    reference = copy.deepcopy(network)
    for name, layer in layers(reference).items():
        layer.weight.data *= keep[f"{name}.weight"]
    masked, x = mask(network, pictures(), weights=keep), pictures()
    close(masked(x), reference(x), 1e-12)
    assert not masked.fc1.weight[2:9].any() and not masked.fc2.weight[[0, 3]].any()


@pytest.mark.parametrize(("masks_given", "words"), [
    ({"keep": {"fc9": torch.ones(15, dtype=torch.bool)}}, "keep names 'fc9', which is no stream; choose from input, fc1, fc2, fc3"),
    ({"keep": {"fc1": torch.ones(14, dtype=torch.bool)}}, r"keep\['fc1'\] is torch.bool of shape \(14,\); it has to be .* \(15,\)"),
    ({"keep": {"fc1": torch.ones(15)}}, "torch.float32"),
    ({"keep": {"fc3": torch.arange(10) > 0}}, "have to stay: network output"),
    ({"keep": {"fc1": torch.zeros(15, dtype=torch.bool)}}, "none of the 15 units of fc1"),
    ({"weights": {"fc1": torch.ones(15, 784)}}, "weights names 'fc1', which is no tensor of the network")])
def test_masks_that_do_not_fit_are_refused(network, masks_given, words):
    with pytest.raises(InputError, match=words):
        mask(network, pictures(), **masks_given)


def test_drawn_anew_keeps_the_zeros_and_the_pixels_and_nothing_else(network):
    keep = {f"{name}.weight": torch.rand(layer.weight.shape) < 0.2 for name, layer in layers(network).items()}
    keep["fc1.weight"] &= torch.rand(784) < 0.5
    small, _ = remove(network, pictures(), weights=keep, inputs=True)
    fresh = masks.drawn_anew(small.float())
    assert fresh.fc1.in_features < 784 and torch.equal(fresh.fc1.index, small.fc1.index)
    for name, layer in layers(fresh).items():
        was = layers(small)[name].weight
        assert torch.equal(layer.weight != 0, was != 0)
        assert not torch.isclose(layer.weight, was)[was != 0].any()
        full = 1 / (3 * layer.in_features)  # the variance that torch draws with
        assert layer.weight.square().mean().item() == pytest.approx(full, rel=5 / int(layer.weight.count_nonzero()) ** 0.5)
