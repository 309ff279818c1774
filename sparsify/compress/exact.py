"""Layers that let a network shrink exactly where torch's own would change its numbers: norms over units, and columns read by index."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NarrowLayerNorm(nn.LayerNorm):
    """LayerNorm over `full` units of which only some are here; the others are zero.  (*, k) -> (*, k)

    With k of d units: mean = sum x / d, variance = (sum (x - mean)^2 + (d - k) mean^2) / d."""

    def __init__(self, norm: nn.LayerNorm, full: int):
        nn.Module.__init__(self)
        self.normalized_shape, self.eps, self.elementwise_affine = norm.weight.shape, norm.eps, norm.elementwise_affine
        self.weight, self.bias, self.full = norm.weight, norm.bias, full
        self.training = norm.training

    def forward(self, x: Tensor) -> Tensor:
        mean = x.sum(-1, keepdim=True) / self.full
        centred = x - mean
        missing = self.full - x.shape[-1]
        variance = (centred.square().sum(-1, keepdim=True) + missing * mean.square()) / self.full
        normal = centred * (variance + self.eps).rsqrt() * self.weight
        return normal if self.bias is None else normal + self.bias

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, full={self.full}"


class NarrowRMSNorm(nn.RMSNorm):
    """RMSNorm over `full` units of which only some are here; the others are zero.  (*, k) -> (*, k)

    The mean of squares over k units is d / k times that over d: so eps times d / k, and the result times sqrt(d / k)."""

    def __init__(self, norm: nn.RMSNorm, full: int):
        nn.Module.__init__(self)
        self.normalized_shape, self.eps, self.elementwise_affine = tuple(norm.weight.shape), norm.eps, norm.elementwise_affine
        self.weight, self.full = norm.weight, full
        self.training = norm.training

    def forward(self, x: Tensor) -> Tensor:
        more = self.full / x.shape[-1]
        eps = torch.finfo(x.dtype).eps if self.eps is None else self.eps
        return F.rms_norm(x, self.normalized_shape, self.weight, eps * more) * more ** 0.5

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, full={self.full}"


class PickingLinear(nn.Linear):
    """A linear layer that reads some of the features that it is given, by index.  (*, n) -> (*, O)"""

    index: Tensor  # (in_features,) int64

    def __init__(self, linear: nn.Linear, index: Tensor):
        nn.Module.__init__(self)
        weight = linear.weight.detach().index_select(1, index.to(linear.weight.device))
        self.in_features, self.out_features = len(index), linear.out_features
        self.weight, self.bias = nn.Parameter(weight, linear.weight.requires_grad), linear.bias
        self.register_buffer("index", index.to(linear.weight.device))
        self.training = linear.training

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.index_select(-1, self.index), self.weight, self.bias)
