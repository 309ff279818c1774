"""The built-in networks, and all that makes one of them as plain data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from torch import nn

from sparsify.models.chains import MLP_WIDTHS, VGG16_WIDTHS, lenet5, mlp, scaled, vgg16
from sparsify.settings import InputError, Positive, PositiveInt, Settings, one_of

NAMES = (*MLP_WIDTHS, "lenet5", "vgg16")
__all__ = ["MLP_WIDTHS", "NAMES", "VGG16_WIDTHS", "Architecture", "build"]


@dataclass(frozen=True)
class Architecture(Settings):
    """All that makes one of the networks, as plain data."""

    name: Annotated[str, one_of(NAMES)]
    input_shape: tuple[PositiveInt, ...]  # (C, H, W) of one image
    n_classes: PositiveInt
    width: Positive = 1.0  # multiplies the units of every hidden layer

    def build(self) -> nn.Sequential:
        return build(self.name, self.input_shape, self.n_classes, self.width)

    def as_data(self) -> dict[str, str | int | float | list[int]]:
        return {"name": self.name, "input_shape": list(self.input_shape), "n_classes": self.n_classes, "width": self.width}


def build(name: str, input_shape: Sequence[int], n_classes: int, width: float = 1.0) -> nn.Sequential:
    """The network `name` for images of `input_shape` (C, H, W); `width` scales the number of units of every hidden layer."""
    if name not in NAMES:
        raise InputError(f"model.name is {name!r}; choose one of {', '.join(NAMES)}")
    if name in MLP_WIDTHS:
        return mlp(input_shape, [scaled(units, width) for units in MLP_WIDTHS[name]], n_classes)
    needed = 28 if name == "lenet5" else 32
    if tuple(input_shape[1:]) != (needed, needed):
        raise InputError(f"model.name {name} needs images of {needed}x{needed}; the data has {input_shape[1]}x{input_shape[2]}")
    return lenet5(input_shape[0], n_classes, width) if name == "lenet5" else vgg16(input_shape[0], n_classes, width)
