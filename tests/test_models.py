"""The architectures against the literature's counts, and their description as data."""

import json

import pytest
import torch
from torch import nn

from sparsify import models
from sparsify.compress.compact import compact
from sparsify.compress.masks import apply
from sparsify.models import Select, weighted_layers
from sparsify.settings import InputError

SHAPES = {"lenet-300-100": (1, 28, 28), "mlp": (1, 28, 28), "lenet5": (1, 28, 28), "vgg16": (3, 32, 32)}
every_model = pytest.mark.parametrize("name", models.NAMES)


def n_weights(model):
    return sum(layer.weight.numel() for layer in weighted_layers(model).values())


@pytest.mark.parametrize(("name", "weights", "units"), [
    ("lenet-300-100", 266_200, [300, 100, 10]), ("lenet5", 430_500, [20, 50, 500, 10]),
    ("mlp", 2_386_000, [1000, 1000, 500, 200, 10])])
def test_widths_follow_the_literature(name, weights, units):
    model = models.build(name, SHAPES[name], 10)
    assert n_weights(model) == weights
    assert [len(layer.weight) for layer in weighted_layers(model).values()] == units


def test_vgg16_has_4224_channels_and_15_million_parameters():
    model = models.build("vgg16", (3, 32, 32), 10)
    convolutions = [layer for layer in model if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 13 and sum(layer.out_channels for layer in convolutions) == 4224
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 1) == 15.0


@every_model
def test_width_scales_hidden_layers_alone(name):
    full, half = (weighted_layers(models.build(name, SHAPES[name], 7, width)) for width in (1.0, 0.5))
    *hidden, logits = ((len(full[key].weight), len(half[key].weight)) for key in full)
    assert all(narrow * 2 == wide for wide, narrow in hidden) and logits == (7, 7)
    assert all(len(layer.weight) == 1 for layer in list(weighted_layers(models.build(name, SHAPES[name], 7, 1e-6)).values())[:-1])


@every_model
@torch.no_grad()
def test_images_do_not_mix(name):
    model = models.build(name, SHAPES[name], 10, 0.1).eval()
    images = torch.randn(4, *SHAPES[name])
    torch.testing.assert_close(torch.cat([model(image[None]) for image in images]), model(images), rtol=1e-4, atol=1e-5)


@every_model
@pytest.mark.parametrize("compacted", [False, True])
@torch.no_grad()
def test_a_rebuilt_network_with_the_same_state_has_the_same_logits(hostile, name, compacted):
    model = hostile(models.build(name, SHAPES[name], 10, 0.1))
    if compacted:
        layers = weighted_layers(model).items()
        keep = {key: torch.rand(layer.weight.shape) < max(0.3, 3 / layer.weight[0].numel()) for key, layer in layers}
        model = compact(apply(model, keep))
    description = json.loads(json.dumps(models.describe(model)))  # plain data
    rebuilt = models.rebuild(description).double().eval()
    rebuilt.load_state_dict(model.state_dict())
    assert models.describe(rebuilt) == models.describe(model)
    images = torch.randn(3, *SHAPES[name], dtype=torch.float64)
    assert torch.equal(rebuilt(images), model(images))


@pytest.mark.parametrize("layer", [
    nn.Conv2d(2, 2, (3, 2), stride=2, padding=1, dilation=2, bias=False), nn.Conv2d(2, 2, 3, padding="same"), nn.Conv2d(2, 4, 1, groups=2),
    nn.Conv2d(2, 2, 3, padding=2, padding_mode="circular"), nn.BatchNorm2d(2, eps=0.5), nn.BatchNorm2d(2, affine=False),
    nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2, ceil_mode=True), nn.MaxPool2d(2, dilation=2), nn.AvgPool2d(3, 2, 1),
    nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), nn.AdaptiveAvgPool2d((2, 3)), nn.Flatten(2)], ids=str)
def test_a_description_holds_all_that_a_layer_computes_with(layer):
    model = nn.Sequential(layer).eval()
    rebuilt = models.rebuild(models.describe(model)).eval()
    rebuilt.load_state_dict(model.state_dict())
    images = torch.randn(3, 2, 7, 8)
    assert torch.equal(rebuilt(images), model(images))


def test_select_picks_features_in_the_order_of_its_index():
    layer = Select(5, 3)
    layer.index.copy_(torch.tensor([4, 0, 0]))
    assert layer(torch.tensor([[10, 11, 12, 13, 14], [20, 21, 22, 23, 24]])).tolist() == [[14, 10, 10], [24, 20, 20]]


@pytest.mark.parametrize(("arguments", "words"), [
    (("lenet", (1, 28, 28), 10), "model.name is 'lenet'; choose one of lenet-300-100, mlp, lenet5, vgg16"),
    (("lenet5", (3, 32, 32), 10), "model.name lenet5 needs images of 28x28; the data has 32x32"),
    (("vgg16", (1, 28, 28), 10), "model.name vgg16 needs images of 32x32; the data has 28x28")])
def test_what_cannot_be_built_is_an_input_error(arguments, words):
    with pytest.raises(InputError, match=words):
        models.build(*arguments)


def test_a_layer_that_cannot_be_described_is_an_input_error():
    with pytest.raises(InputError, match=r"layer 1 is a GELU; only .*Linear"):
        models.describe(nn.Sequential(nn.Linear(2, 2), nn.GELU()))
