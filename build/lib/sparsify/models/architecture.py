"""All that makes a network, as plain data: a name, what it is given, how many classes it tells apart, and a factor for its widths."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated

from torch import nn

from sparsify.models import chains, own, registry, resnet, vit
from sparsify.settings import Check, InputError, PositiveInt, Settings, between

NAMES = (*chains.MLP_WIDTHS, "lenet5", "vgg16", *resnet.DEPTHS, "vit")  # built in
_SIDES = {"lenet5": 28, "vgg16": 32}  # of the only images that these take


def _allowed(name: str) -> str:
    close = [f"{registry.PREFIX}{each}" for each in get_close_matches(name.lower(), registry.names(), 3, 0.5)]
    close += get_close_matches(name.lower(), NAMES, 2, 0.5)
    return (f"one of {', '.join(NAMES)}, torchvision:NAME, or package.module:function"
            + (f"; close to it: {', '.join(close)}" if close else ""))


NAME = Check(_allowed, lambda name: name in NAMES or registry.is_name(name) or own.is_name(name))

Width = Annotated[float, between(0.001, 100)]


@dataclass(frozen=True)
class Architecture(Settings):
    """All that makes a network, as plain data."""

    name: Annotated[str, NAME]  # built in (NAMES), torchvision:NAME, or package.module:function
    input_shape: tuple[PositiveInt, ...]  # of one example: (C, H, W) of an image, (F,) of a row of a table
    n_classes: PositiveInt
    width: Width = 1.0  # multiplies the units of every hidden layer

    @property
    def known(self) -> bool:
        """Whether it is made here or by torchvision; else `build` imports and calls what `name` names."""
        return self.name in NAMES or registry.is_name(self.name)

    def build(self) -> nn.Module:
        """With fresh weights. Raises InputError, in one line."""
        return build(self.name, self.input_shape, self.n_classes, self.width)

    def as_data(self) -> dict[str, str | int | float | list[int]]:
        return {"name": self.name, "input_shape": list(self.input_shape), "n_classes": self.n_classes, "width": self.width}


def build(name: str, input_shape: Sequence[int], n_classes: int, width: float = 1.0) -> nn.Module:
    """The network `name` for examples of `input_shape`, (C, H, W) or (F,); `width` scales the number of units of every hidden layer.

    Raises InputError, in one line, for what does not go together."""
    if not NAME.test(name):
        raise InputError(f"model.name is {name!r}; it has to be {NAME.of(name)}")
    if own.is_name(name) and not registry.is_name(name):
        return own.network(name, input_shape, n_classes, width)
    if name in chains.MLP_WIDTHS:
        return chains.mlp(input_shape, [chains.scaled(units, width) for units in chains.MLP_WIDTHS[name]], n_classes)
    if len(input_shape) != 3:
        raise InputError(f"model.name {name} takes images, (channels, height, width); the data has examples of shape "
                         f"{tuple(input_shape)}; choose one of {', '.join(chains.MLP_WIDTHS)}, or a function of your own")
    image = (channels, *sides) = input_shape[0], input_shape[1], input_shape[2]
    if registry.is_name(name):
        return registry.network(name, image, n_classes, width)
    if name in _SIDES and sides != [_SIDES[name]] * 2:
        raise InputError(f"model.name {name} needs images of {_SIDES[name]}x{_SIDES[name]}; the data has {sides[0]}x{sides[1]}")
    if name == "vit":
        return vit.vit(image, n_classes, width)
    if name in resnet.DEPTHS:
        return resnet.CifarResNet(channels, n_classes, resnet.DEPTHS[name], width)
    return chains.lenet5(channels, n_classes, width) if name == "lenet5" else chains.vgg16(channels, n_classes, width)
