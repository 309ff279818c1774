"""The architectures, as plain `nn.Sequential`s whose layers have names, and their description as plain data.

A description (a list of name, type, arguments) rebuilds a network of any widths, so that a compact network can be
saved and loaded without pickled code. Widths follow the literature:
    lenet-300-100   784-300-100-10
    lenet5          20-50-800-500-10, Caffe's: two 5x5 convolutions without padding
    mlp             784-1000-1000-500-200-10
    vgg16           13 convolutions 3x3 with BatchNorm (arXiv:1409.1556 D), one hidden layer of 512
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sparsify.settings import InputError

MLP_WIDTHS = {"lenet-300-100": (300, 100), "mlp": (1000, 1000, 500, 200)}
VGG16_WIDTHS = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512, "pool")
NAMES = (*MLP_WIDTHS, "lenet5", "vgg16")


class Select(nn.Module):
    """Picks features by index: the input pixels, or flattened features, that a compact network still reads.

    (N, in_features) -> (N, len(index))"""

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.register_buffer("index", torch.zeros(out_features, dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        return x.index_select(1, self.index)


def build(name: str, input_shape: Sequence[int], n_classes: int, width: float = 1.0) -> nn.Sequential:
    """The network `name` for images of `input_shape` (C, H, W); `width` scales the number of units of every hidden layer."""
    if name not in NAMES:
        raise InputError(f"model.name is {name!r}; choose one of {', '.join(NAMES)}")
    if name in MLP_WIDTHS:
        return _mlp(input_shape, [_scaled(units, width) for units in MLP_WIDTHS[name]], n_classes)
    needed = 28 if name == "lenet5" else 32
    if tuple(input_shape[1:]) != (needed, needed):
        raise InputError(f"model.name {name} needs images of {needed}x{needed}; the data has {input_shape[1]}x{input_shape[2]}")
    return _lenet5(input_shape[0], n_classes, width) if name == "lenet5" else _vgg16(input_shape[0], n_classes, width)


def _scaled(units: int, width: float) -> int:
    return max(1, round(units * width))


def _mlp(input_shape: Sequence[int], widths: Sequence[int], n_classes: int) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    features = input_shape[0] * input_shape[1] * input_shape[2]
    for number, units in enumerate(widths, 1):
        layers[f"fc{number}"] = nn.Linear(features, units)
        layers[f"relu{number}"] = nn.ReLU()
        features = units
    layers[f"fc{len(widths) + 1}"] = nn.Linear(features, n_classes)
    return nn.Sequential(layers)


def _lenet5(channels: int, n_classes: int, width: float) -> nn.Sequential:
    first, second, hidden = (_scaled(units, width) for units in (20, 50, 500))
    return nn.Sequential(OrderedDict(
        # ReLU and max pooling commute; after the pooling there is a quarter left to do
        conv1=nn.Conv2d(channels, first, 5), pool1=nn.MaxPool2d(2), relu1=nn.ReLU(),  # (N, 20, 12, 12)
        conv2=nn.Conv2d(first, second, 5), pool2=nn.MaxPool2d(2), relu2=nn.ReLU(),  # (N, 50, 4, 4)
        flatten=nn.Flatten(),  # (N, 800)
        fc1=nn.Linear(second * 16, hidden), relu3=nn.ReLU(),
        fc2=nn.Linear(hidden, n_classes)))


def _vgg16(channels: int, n_classes: int, width: float) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    conv = pool = 0
    for entry in VGG16_WIDTHS:
        if entry == "pool":
            pool += 1
            layers[f"pool{pool}"] = nn.MaxPool2d(2)
            continue
        conv, units = conv + 1, _scaled(entry, width)
        layers[f"conv{conv}"] = nn.Conv2d(channels, units, 3, padding=1, bias=False)
        layers[f"bn{conv}"] = nn.BatchNorm2d(units)
        layers[f"relu{conv}"] = nn.ReLU()
        channels = units
    layers["flatten"] = nn.Flatten()  # (N, 512): five poolings leave 1x1 of 32x32
    layers["fc1"] = nn.Linear(channels, channels)
    layers["relu14"] = nn.ReLU()
    layers["fc2"] = nn.Linear(channels, n_classes)
    return nn.Sequential(layers)


# What the constructor of each layer takes, as attributes of the layer.
_ARGUMENTS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Linear: ("in_features", "out_features", "bias"),
    nn.Conv2d: ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias", "padding_mode"),
    nn.BatchNorm1d: ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    nn.BatchNorm2d: ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    nn.MaxPool2d: ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    nn.AvgPool2d: ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
    nn.AdaptiveAvgPool2d: ("output_size",),
    nn.Dropout: ("p",),
    nn.Flatten: ("start_dim", "end_dim"),
    nn.ReLU: (),
    Select: ("in_features", "out_features"),
}
_TYPES = {kind.__name__: kind for kind in _ARGUMENTS}

Description = list[tuple[str, str, dict[str, Any]]]


def describe(model: nn.Sequential) -> Description:
    """The layers of a plain network as data: (name, type, arguments). Raises InputError for a layer it does not know."""
    description = []
    for name, layer in model.named_children():
        if type(layer) not in _ARGUMENTS:
            raise InputError(f"layer {name} is a {type(layer).__name__}; only {', '.join(_TYPES)} can be saved")
        description.append((name, type(layer).__name__, constructor_arguments(layer, type(layer))))
    return description


def constructor_arguments(layer: nn.Module, kind: type[nn.Module]) -> dict[str, Any]:
    """What `kind`, the type of `layer` or one that it extends, has to be called with to make a layer like it."""
    arguments = {key: getattr(layer, key) for key in _ARGUMENTS[kind]}
    if "bias" in arguments:
        arguments["bias"] = layer.bias is not None
    return arguments


def rebuild(description: Description) -> nn.Sequential:
    """The network that `describe` described, with fresh weights."""
    return nn.Sequential(OrderedDict((name, _TYPES[kind](**arguments)) for name, kind, arguments in description))


def weighted_layers(model: nn.Sequential) -> dict[str, nn.Linear | nn.Conv2d]:
    """The layers that multiply by weights, in order, by name; the last one makes the logits."""
    return {name: layer for name, layer in model.named_children() if isinstance(layer, nn.Linear | nn.Conv2d)}
