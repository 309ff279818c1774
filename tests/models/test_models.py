"""The architectures against the literature's counts, and as data."""

import json

import pytest
import torch
from torch import nn

from sparsify import models
from sparsify.models import Architecture
from sparsify.settings import InputError

SHAPES = {"lenet-300-100": (1, 28, 28), "mlp": (1, 28, 28), "lenet5": (1, 28, 28), "vgg16": (3, 32, 32)}
every_model = pytest.mark.parametrize("name", models.NAMES)


def weights(model):
    """Of every layer, in order."""
    return [layer.weight for layer in model if isinstance(layer, nn.Linear | nn.Conv2d)]


@pytest.mark.parametrize(("name", "n_weights", "units"), [
    ("lenet-300-100", 266_200, [300, 100, 10]), ("lenet5", 430_500, [20, 50, 500, 10]),
    ("mlp", 2_386_000, [1000, 1000, 500, 200, 10])])
def test_widths_follow_the_literature(name, n_weights, units):
    found = weights(models.build(name, SHAPES[name], 10))
    assert sum(weight.numel() for weight in found) == n_weights
    assert [len(weight) for weight in found] == units


def test_vgg16_has_4224_channels_and_15_million_parameters():
    model = models.build("vgg16", (3, 32, 32), 10)
    convolutions = [layer for layer in model if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 13 and sum(layer.out_channels for layer in convolutions) == 4224
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 1) == 15.0


@every_model
def test_width_scales_hidden_layers_alone(name):
    full, half, least = (weights(models.build(name, SHAPES[name], 7, width)) for width in (1.0, 0.5, 1e-6))
    *hidden, logits = ((len(wide), len(narrow)) for wide, narrow in zip(full, half, strict=True))
    assert all(narrow * 2 == wide for wide, narrow in hidden) and logits == (7, 7)
    assert all(len(weight) == 1 for weight in least[:-1])


@every_model
@torch.no_grad()
def test_images_do_not_mix(name):
    model = models.build(name, SHAPES[name], 10, 0.1).eval()
    images = torch.randn(4, *SHAPES[name])
    torch.testing.assert_close(torch.cat([model(image[None]) for image in images]), model(images), rtol=1e-4, atol=1e-5)


@every_model
@torch.no_grad()
def test_an_architecture_that_went_through_a_file_builds_the_same_network(hostile, name):
    architecture = Architecture(name, SHAPES[name], 10, 0.1)
    model = hostile(architecture.build())
    again = Architecture(**json.loads(json.dumps(architecture.as_data())))
    assert again == architecture
    rebuilt = again.build().double().eval()
    rebuilt.load_state_dict(model.state_dict())
    images = torch.randn(3, *SHAPES[name], dtype=torch.float64)
    assert torch.equal(rebuilt(images), model(images))


@pytest.mark.parametrize(("arguments", "words"), [
    (("lenet", (1, 28, 28), 10), "model.name is 'lenet'; choose one of lenet-300-100, mlp, lenet5, vgg16"),
    (("lenet5", (3, 32, 32), 10), "model.name lenet5 needs images of 28x28; the data has 32x32"),
    (("vgg16", (1, 28, 28), 10), "model.name vgg16 needs images of 32x32; the data has 28x28")])
def test_what_cannot_be_built_is_an_input_error(arguments, words):
    with pytest.raises(InputError, match=words):
        models.build(*arguments)


@pytest.mark.parametrize(("arguments", "words"), [
    (("lenet", (1, 28, 28), 10), "Architecture.name is 'lenet'"), (("mlp", (1, 28, 0), 10), r"Architecture.input_shape\[2\] is 0"),
    (("mlp", (1, 28, 28), 10, 0.0), "Architecture.width is 0.0")])
def test_an_architecture_checks_itself(arguments, words):
    with pytest.raises(InputError, match=words):
        Architecture(*arguments)
