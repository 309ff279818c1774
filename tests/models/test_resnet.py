"""CIFAR's residual networks against the paper's counts, and what of them leaves together."""

import pytest
import torch
from torch import nn

import sparsify
from sparsify.models import build
from sparsify.models.resnet import Block


@pytest.mark.parametrize(("name", "layers", "millions"), [("resnet20", 20, 0.27), ("resnet56", 56, 0.85)])
def test_depth_and_size_are_those_of_table_6(name, layers, millions):
    model = build(name, (3, 32, 32), 10)
    assert sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in model.modules()) == layers
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 2) == millions


def test_stages_halve_the_sides_and_double_the_channels():
    sides = []
    model = build("resnet20", (3, 32, 32), 10)
    for stage in model.stages:
        stage.register_forward_hook(lambda layer, given, out: sides.append(tuple(out.shape[1:])))
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert sides == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]
    assert build("resnet20", (1, 28, 20), 7, 0.5)(torch.randn(2, 1, 28, 20)).shape == (2, 7)


def test_the_shortcut_has_the_channels_there_were_and_zeros_behind_them():
    block = Block(2, 5, 2).eval()
    nn.init.zeros_(block.bn2.weight)  # only the shortcut is left
    x = torch.rand(1, 2, 6, 6)
    out = block(x)
    assert torch.equal(out[:, :2], x[:, :, ::2, ::2]) and not out[:, 2:].any()


def test_a_channel_leaves_all_stages_that_it_runs_through():
    model = build("resnet20", (3, 32, 32), 10)
    streams = sparsify.streams(model, torch.randn(2, 3, 32, 32))
    along = {name: (stream.size, len(stream.writers)) for name, stream in streams.items() if len(stream.writers) > 1}
    # written by the stem and three blocks of every stage from its own on: 1 + 9, 6, 3
    assert along == {"conv": (16, 10), "stages.1.0.conv2": (16, 6), "stages.2.0.conv2": (32, 3)}
    within = [stream.size for name, stream in streams.items() if name.endswith("conv1")]
    assert within == [16] * 3 + [32] * 3 + [64] * 3
    assert [name for name, stream in streams.items() if stream.fixed] == ["fc"]
