"""The architectures against the literature's counts, and as data."""

import json

import pytest
import torch
from torch import nn

from sparsify import models
from sparsify.models import Architecture
from sparsify.settings import InputError

CHAINS = {"lenet-300-100": (1, 28, 28), "mlp": (1, 28, 28), "lenet5": (1, 28, 28), "vgg16": (3, 32, 32)}
SHAPES = CHAINS | {"resnet20": (3, 32, 32), "resnet56": (3, 32, 32), "vit": (1, 28, 28)}
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


@pytest.mark.parametrize("name", CHAINS)
def test_width_scales_hidden_layers_alone(name):
    full, half, least = (weights(models.build(name, SHAPES[name], 7, width)) for width in (1.0, 0.5, 1e-6))
    *hidden, logits = ((len(wide), len(narrow)) for wide, narrow in zip(full, half, strict=True))
    assert all(narrow * 2 == wide for wide, narrow in hidden) and logits == (7, 7)
    assert all(len(weight) == 1 for weight in least[:-1])


@pytest.mark.parametrize("name", models.MLP_WIDTHS)
def test_a_row_of_a_table_is_read_as_it_is(name):
    assert weights(models.build(name, (13,), 3))[0].shape[1] == 13
    assert models.build(name, (13,), 3)(torch.randn(4, 13)).shape == (4, 3)


@pytest.mark.parametrize("name", ["resnet18", "Resnet18", "vit_b_16", "net.py", "net.py:", "a b:c", ""])
def test_a_name_that_means_nothing_is_answered_with_what_may_have_been_meant(name):
    with pytest.raises(InputError) as caught:
        Architecture(name, (3, 32, 32), 10)
    said = str(caught.value)
    assert "\n" not in said and "torchvision:NAME, or package.module:function" in said
    meant = {"resnet18": "torchvision:resnet18", "Resnet18": "torchvision:resnet18", "vit_b_16": "torchvision:vit_b_16"}.get(name, "")
    assert f"close to it: {meant}" in said if meant else True


@pytest.mark.parametrize(("name", "known"), [("mlp", True), ("torchvision:resnet18", True), ("json:loads", False),
                                             ("torchvision.models:resnet18", False)])
def test_what_is_known_runs_no_code_that_a_name_chooses(name, known):
    assert Architecture(name, (3, 32, 32), 10).known == known


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
    (("lenet", (1, 28, 28), 10), "model.name is 'lenet'; it has to be one of lenet-300-100, mlp, lenet5, vgg16, .*; close to it: .*lenet5"),
    (("vgg16", (30,), 10), r"model.name vgg16 takes images, .*; the data has examples of shape \(30,\); choose one of lenet-300-100, mlp"),
    (("vit", (3, 30, 32), 10), "model.name vit cuts images into patches of 4x4; the data has 30x32"),
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
