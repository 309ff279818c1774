"""A vision transformer for small images, in the widths of ViT-Lite-7/4 (arXiv:2104.05704): 7 blocks of width 256, 4 heads, patches of 4x4.

Pre-norm, learned positions. The mean over all patches takes the place of a class token, which would fix the width of the residual
stream: at the first LayerNorm its units and those of the patches are not yet the same, and statistics over both cannot be cut."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsify.models.chains import scaled
from sparsify.settings import InputError

PATCH, BLOCKS, HEADS, HEAD_WIDTH = 4, 7, 4, 64


class Attention(nn.Module):
    """Self-attention.  (N, T, D) -> (N, T, D)"""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_heads, self.head_width = heads, width // heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, length, 3, self.num_heads, self.head_width).permute(2, 0, 3, 1, 4)  # (N, H, T, E) each
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and two layers for each token, each of what a LayerNorm gives and added to what there was.  (N, T, D) -> (N, T, D)"""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm2, self.fc1, self.fc2 = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Positions(nn.Module):
    """Adds what is learned for each place.  (N, T, D) -> (N, T, D)"""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(1, length, width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table


class VisionTransformer(nn.Module):
    """(N, C, H, W) -> (N, classes)"""

    def __init__(self, channels: int, n_patches: int, n_classes: int, width: int) -> None:
        super().__init__()
        self.patches, self.positions = nn.Conv2d(channels, width, PATCH, PATCH), Positions(n_patches, width)
        self.blocks = nn.Sequential(*(Block(width, HEADS) for _ in range(BLOCKS)))
        self.norm, self.fc = nn.LayerNorm(width), nn.Linear(width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.positions(self.patches(x).flatten(2).transpose(1, 2))  # (N, T, D)
        return self.fc(self.norm(self.blocks(x)).mean(1))


def vit(input_shape: tuple[int, int, int], n_classes: int, width: float) -> VisionTransformer:
    """For images whose sides are multiples of 4, as 32 and 28 are; `width` multiplies that of a head, of which there are 4."""
    channels, height, length = input_shape
    if height % PATCH or length % PATCH:
        raise InputError(f"model.name vit cuts images into patches of {PATCH}x{PATCH}; the data has {height}x{length}; "
                         f"the sides have to be multiples of {PATCH}")
    return VisionTransformer(channels, height // PATCH * (length // PATCH), n_classes, HEADS * scaled(HEAD_WIDTH, width))
