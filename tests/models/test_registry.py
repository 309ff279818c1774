"""torchvision's networks, fitted to the images."""

import pytest
import torch
from torch import nn
from torchvision import models as torchvision_models

from sparsify.models import Architecture, registry
from sparsify.settings import InputError


def sides(name, shape):
    """Of what the last convolution gives."""
    model, found = Architecture(f"torchvision:{name}", shape, 4).build(), {}
    last = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)][-1]
    last.register_forward_hook(lambda layer, given, out: found.update(out=tuple(out.shape[2:])))
    assert model.eval()(torch.randn(2, *shape)).shape == (2, 4)
    return found["out"]


@pytest.mark.parametrize(("name", "side", "left"), [
    ("resnet18", 32, 4), ("resnet18", 64, 4), ("resnet18", 128, 4), ("mobilenet_v2", 32, 2), ("mobilenet_v2", 64, 4),
    ("shufflenet_v2_x0_5", 32, 4), ("squeezenet1_1", 64, 7), ("densenet121", 32, 4)])
def test_small_images_do_not_end_in_one_place(name, side, left):
    assert sides(name, (3, side, side)) == (left, left)


def stem(side, channels=3):
    model = Architecture("torchvision:resnet18", (channels, side, side), 10).build()
    return model.conv1.kernel_size, model.conv1.stride, type(model.maxpool)


def test_the_stem_loses_its_pooling_first_and_then_its_stride():
    assert stem(128) == ((7, 7), (2, 2), nn.MaxPool2d)
    assert stem(64) == ((7, 7), (2, 2), nn.Identity)
    assert stem(32) == stem(63) == ((3, 3), (1, 1), nn.Identity)


def test_large_images_of_three_channels_have_torchvision_s_own_network():
    torch.manual_seed(3)
    ours = Architecture("torchvision:resnet18", (3, 224, 224), 10).build()
    torch.manual_seed(3)
    theirs = torchvision_models.resnet18(num_classes=10)
    assert str(ours) == str(theirs)
    assert all(torch.equal(one, other) for one, other in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1"])
def test_any_number_of_channels(name):
    assert sides(name, (1, 64, 64)) and sides(name, (5, 64, 64))


def test_patches_of_a_transformer_stay_and_their_number_follows_the_image():
    model = nn.Module()
    model.conv_proj, model.after = nn.Conv2d(3, 8, 16, 16), nn.Conv2d(8, 8, 1)
    registry.fit_stem(model, 3, 32)
    assert model.conv_proj.stride == (16, 16)
    registry.fit_stem(model, 1, 32)
    assert (model.conv_proj.in_channels, model.conv_proj.kernel_size, model.conv_proj.stride) == (1, (16, 16), (16, 16))
    assert registry._more("vit_b_16", 64, 64) == {"image_size": 64}


def test_heads_for_training_alone_are_left_out():
    model = Architecture("torchvision:googlenet", (3, 64, 64), 4).build()
    assert isinstance(model.train()(torch.randn(2, 3, 64, 64)), torch.Tensor)


@pytest.mark.parametrize(("name", "shape", "width", "words"), [
    ("resnet81", (3, 64, 64), 1.0, "which torchvision does not have .*; close to it: torchvision:resnet.*; all of them: python -c"),
    ("fcn_resnet50", (3, 64, 64), 1.0, "does not have among its classifiers"),
    ("resnet18", (3, 64, 64), 0.5, "model.width is 0.5; it has to be 1 for torchvision:resnet18"),
    ("resnet18", (30,), 1.0, "takes images"),
    ("maxvit_t", (3, 64, 64), 1.0, "cannot be made for images of 64x64: ValueError"),
    ("inception_v3", (1, 32, 32), 1.0, "does not take two examples of shape .1, 32, 32.: RuntimeError")])
def test_what_cannot_be_made_is_one_line(name, shape, width, words):
    with pytest.raises(InputError, match=words) as caught:
        Architecture(f"torchvision:{name}", shape, 10, width).build()
    assert "\n" not in str(caught.value)
