"""The time that a network needs at least: its multiply-accumulates at the matrix rate, or its bytes at the copy rate.

Bytes are those that no implementation can avoid: the input once (whole cache lines), the weights once, the logits once; what
lies between the layers could stay in the cache. Both rates are measured in the rounds in which the contenders run; the matrix rate
is the best of two libraries, and is a yardstick more than a bound: a convolution may have a kernel that beats both."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsify.compress.exact import PickingLinear
from sparsify.measure.size import macs

MATRIX = 768  # the side of the product that stands for the matrix rate: large enough for it, and short
PRODUCTS = 5  # in a row: what the contender before left in the caches matters to the first alone
CACHE_LINE = 64  # bytes


@dataclass(frozen=True)
class Work:
    macs: int
    bytes: int


def bound_ms(work: Work, macs_per_ms: float, bytes_per_ms: float) -> float:
    return max(work.macs / macs_per_ms, work.bytes / bytes_per_ms)


@torch.no_grad()
def work(model: nn.Module, input_shape: Sequence[int], batch_size: int) -> Work:
    """Of one pass of a plain network in float32, from images to logits."""
    image = torch.zeros(1, *input_shape)
    kept = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    per_image = input_bytes(model, input_shape) + model.eval()(image).nbytes
    return Work(batch_size * macs(model, image), kept + batch_size * per_image)


def input_bytes(model: nn.Module, input_shape: Sequence[int]) -> int:
    """Of the cache lines that hold a feature that the network reads."""
    first = next(layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d))
    if isinstance(first, PickingLinear):
        return CACHE_LINE * len((4 * first.index // CACHE_LINE).unique())
    return 4 * torch.Size(input_shape).numel()


class MatrixProducts(nn.Module):
    """A contender whose time tells the matrix rate, by torch's BLAS or as a convolution of single pixels; it looks at no image."""

    macs = PRODUCTS * MATRIX**3

    def __init__(self, as_convolution: bool):
        super().__init__()
        self.left, self.right = torch.randn(2, MATRIX, MATRIX)
        self.as_convolution = as_convolution

    def forward(self, _: Tensor) -> Tensor:
        for _ in range(PRODUCTS):
            if self.as_convolution:
                product = F.conv2d(self.left.view(1, MATRIX, 24, 32), self.right.view(MATRIX, MATRIX, 1, 1))
            else:
                product = self.left @ self.right
        return product


class Copy(nn.Module):
    """A contender whose time tells the copy rate of as many bytes as some work moves: half of them read, half written.

    A small network's bytes fit into a cache, and so do those of its copy; the least size keeps the call itself out of the rate."""

    least = 256 * 1024

    def __init__(self, n_bytes: int):
        super().__init__()
        self.source = torch.zeros(max(n_bytes, self.least) // 8)
        self.target = torch.zeros_like(self.source)
        self.bytes = 8 * len(self.source)

    def forward(self, _: Tensor) -> Tensor:
        return self.target.copy_(self.source)
