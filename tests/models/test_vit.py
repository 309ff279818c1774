"""The vision transformer against the counts of ViT-Lite-7/4, and what of it leaves together."""

import pytest
import torch

import sparsify
from sparsify.models import build


def test_size_is_that_of_vit_lite_7_4():
    model = build("vit", (3, 32, 32), 10)
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 1) == 3.7  # arXiv:2104.05704, table 1
    assert (len(model.blocks), model.blocks[0].attention.num_heads, model.blocks[0].fc1.out_features) == (7, 4, 512)


@pytest.mark.parametrize(("shape", "patches"), [((1, 28, 28), 49), ((3, 32, 32), 64), ((3, 16, 8), 8)])
def test_every_patch_has_a_position(shape, patches):
    model = build("vit", shape, 10, 0.125)
    assert model.positions.table.shape == (1, patches, 32)
    assert model(torch.randn(2, *shape)).shape == (2, 10)


@torch.no_grad()
def test_positions_tell_patches_apart_and_nothing_else_does():
    model, image = build("vit", (1, 8, 8), 3, 0.125).eval(), torch.randn(1, 1, 8, 8)
    moved = image.roll(4, -1)  # the same patches in other places
    assert not torch.allclose(model(moved), model(image), atol=1e-6)
    model.positions.table.zero_()
    assert torch.allclose(model(moved), model(image), atol=1e-6)


def test_the_residual_stream_is_one_and_heads_and_hidden_units_leave_apart():
    streams = sparsify.streams(build("vit", (1, 28, 28), 10, 0.25), torch.randn(2, 1, 28, 28))
    residual = streams["patches"]
    assert (residual.size, len(residual.writers), len(residual.readers)) == (64, 1 + 2 * 7, 2 * 7 + 1)
    assert {slot.tensor for slot in residual.carriers} >= {"positions.table", "norm.weight", "blocks.6.norm2.bias"}
    assert [streams[f"blocks.{block}.attention.qkv"].size for block in range(7)] == [4] * 7  # heads
    assert [streams[f"blocks.{block}.fc1"].size for block in range(7)] == [128] * 7
    assert [name for name, stream in streams.items() if stream.fixed] == ["fc"]
