"""The networks of torchvision, made for any number of channels and classes, with a stem that fits small images."""

from functools import cache
from typing import Any, cast

from torch import nn

from sparsify.models import checked
from sparsify.models.checked import difficulty
from sparsify.settings import InputError

PREFIX = "torchvision:"
REDUCTION, SMALLEST = 32, 4  # of the sides, by nearly all of them: 224 pixels end as 7x7; and the least that images should end as


def is_name(name: str) -> bool:
    return name.startswith(PREFIX)


@cache
def names() -> tuple[str, ...]:
    """Of all that classify images, without the prefix."""
    from torchvision import models  # takes longer to import than torch

    return tuple(models.list_models(module=models))


def network(name: str, input_shape: tuple[int, int, int], n_classes: int, width: float) -> nn.Module:
    """`torchvision:NAME` with fresh weights.  input_shape: (C, H, W)

    Other channels than three get a first convolution of their own; for small images the stem changes too, see `fit_stem`.
    Raises InputError, in one line."""
    from torchvision import models

    short = name.removeprefix(PREFIX)
    if short not in names():
        raise InputError(f"model.name is {name!r}, which torchvision does not have among its classifiers of images"
                         f"{checked.close_to(short, names(), PREFIX)}; all of them: "
                         'python -c "from torchvision import models; print(models.list_models(models))"')
    if width != 1:
        raise InputError(f"model.width is {width:g}; it has to be 1 for {name}, whose widths torchvision gives")
    channels, height, width_of_image = input_shape
    try:
        made = models.get_model(short, weights=None, num_classes=n_classes, **_more(short, height, width_of_image))
        fit_stem(made, channels, min(height, width_of_image))
    except Exception as error:  # of sizes that it does not take
        raise InputError(f"model.name {name} cannot be made for images of {height}x{width_of_image}: {difficulty(error)}") from None
    return checked.network(made, name, input_shape, n_classes)


def _more(short: str, height: int, width: int) -> dict[str, Any]:
    if short.startswith("vit_"):
        return {"image_size": height}
    if short.startswith("maxvit"):
        return {"input_size": (height, width)}
    # The heads that these have for training alone would be trained by no loss here.
    return {"aux_logits": False, "init_weights": True} if short in ("googlenet", "inception_v3") else {}


def fit_stem(model: nn.Module, channels: int, side: int) -> None:
    """Makes the first convolution anew, in place, where there are not three channels or the images are small.

    Networks for 224 pixels reduce them 32 times, to 7x7; at 32 pixels 1x1 would be left, and nothing to see patterns in. Where less than
    4x4 would be left, a max pooling that follows the first convolution is taken out; if that is not enough, the convolution becomes one
    of 3x3 with stride 1, as in the ResNets for CIFAR (arXiv:1512.03385 sec. 4.2). So resnet18 ends at 4x4 of 64 pixels, without the
    pooling (weights for ImageNet still fit), and at 4x4 of 32, without both. Patches, whose windows do not overlap, stay as they are.

    side: the shorter one, pixels"""
    layers = [(path, module) for path, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.MaxPool2d)]
    number, path, first = next((number, path, module) for number, (path, module) in enumerate(layers) if isinstance(module, nn.Conv2d))
    after, following = layers[number + 1]
    kernel, stride, padding = first.kernel_size, first.stride, first.padding
    if side < REDUCTION * SMALLEST and kernel[0] > stride[0]:
        if isinstance(following, nn.MaxPool2d):
            model.set_submodule(after, nn.Identity())
            side *= 2
        if side < REDUCTION * SMALLEST and stride[0] > 1:
            kernel, stride, padding = (3, 3), (1, 1), (1, 1)
    if channels != first.in_channels or stride != first.stride:
        model.set_submodule(path, nn.Conv2d(channels, first.out_channels, cast(Any, kernel), cast(Any, stride), cast(Any, padding),
                                            bias=first.bias is not None))
