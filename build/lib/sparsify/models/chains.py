"""Chains of layers, as plain `nn.Sequential`s whose layers have names. Widths follow the literature:
    lenet-300-100   784-300-100-10
    lenet5          20-50-800-500-10, Caffe's: two 5x5 convolutions without padding
    mlp             784-1000-1000-500-200-10
    vgg16           13 convolutions 3x3 with BatchNorm (arXiv:1409.1556 D), one hidden layer of 512
"""

import math
from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

MLP_WIDTHS = {"lenet-300-100": (300, 100), "mlp": (1000, 1000, 500, 200)}
VGG16_WIDTHS: tuple[int | str, ...] = (
    64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512, "pool")


def scaled(units: int, width: float) -> int:
    return max(1, round(units * width))


def mlp(input_shape: Sequence[int], widths: Sequence[int], n_classes: int) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    features = math.prod(input_shape)
    for number, units in enumerate(widths, 1):
        layers[f"fc{number}"] = nn.Linear(features, units)
        layers[f"relu{number}"] = nn.ReLU()
        features = units
    layers[f"fc{len(widths) + 1}"] = nn.Linear(features, n_classes)
    return nn.Sequential(layers)


def lenet5(channels: int, n_classes: int, width: float) -> nn.Sequential:
    first, second, hidden = (scaled(units, width) for units in (20, 50, 500))
    return nn.Sequential(OrderedDict(
        # ReLU and max pooling commute; after the pooling there is a quarter left to do
        conv1=nn.Conv2d(channels, first, 5), pool1=nn.MaxPool2d(2), relu1=nn.ReLU(),  # (N, 20, 12, 12)
        conv2=nn.Conv2d(first, second, 5), pool2=nn.MaxPool2d(2), relu2=nn.ReLU(),  # (N, 50, 4, 4)
        flatten=nn.Flatten(),  # (N, 800)
        fc1=nn.Linear(second * 16, hidden), relu3=nn.ReLU(),
        fc2=nn.Linear(hidden, n_classes)))


def vgg16(channels: int, n_classes: int, width: float) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    conv = pool = 0
    for entry in VGG16_WIDTHS:
        if isinstance(entry, str):
            pool += 1
            layers[f"pool{pool}"] = nn.MaxPool2d(2)
            continue
        conv, units = conv + 1, scaled(entry, width)
        layers[f"conv{conv}"] = nn.Conv2d(channels, units, 3, padding=1, bias=False)
        layers[f"bn{conv}"] = nn.BatchNorm2d(units)
        layers[f"relu{conv}"] = nn.ReLU()
        channels = units
    layers["flatten"] = nn.Flatten()  # (N, 512): five poolings leave 1x1 of 32x32
    layers["fc1"] = nn.Linear(channels, channels)
    layers["relu14"] = nn.ReLU()
    layers["fc2"] = nn.Linear(channels, n_classes)
    return nn.Sequential(layers)
