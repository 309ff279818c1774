"""Layers that let a network shrink exactly where torch's own would change its numbers: norms over units, and columns read by index."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NarrowLayerNorm(nn.LayerNorm):
    """LayerNorm over `full` units of which only some are here; the others are zero.  (*, k) -> (*, k)

    With k of d units: mean = sum x / d, variance = (sum (x - mean)^2 + (d - k) mean^2) / d. In float32 at least, as torch's own."""

    def __init__(self, norm: nn.LayerNorm, full: int):
        nn.Module.__init__(self)
        self.normalized_shape, self.eps, self.elementwise_affine = norm.weight.shape, norm.eps, norm.elementwise_affine
        self.weight, self.bias, self.full = norm.weight, norm.bias, full
        self.training = norm.training

    def forward(self, x: Tensor) -> Tensor:
        wide, missing = x.to(torch.promote_types(x.dtype, torch.float32)), self.full - x.shape[-1]
        mean = wide.sum(-1, keepdim=True) / self.full
        centred = wide - mean
        variance = (centred.square().sum(-1, keepdim=True) + missing * mean.square()) / self.full
        normal = centred * (variance + self.eps).rsqrt() * self.weight
        return (normal if self.bias is None else normal + self.bias).to(torch.promote_types(x.dtype, self.weight.dtype))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, full={self.full}"


class NarrowRMSNorm(nn.RMSNorm):
    """RMSNorm over `full` units of which only some are here; the others are zero.  (*, k) -> (*, k)

    With k of d units the mean of squares over k is d / k times that over d: so eps times d / k, and the result times sqrt(d / k)."""

    def __init__(self, norm: nn.RMSNorm, full: int):
        nn.Module.__init__(self)
        self.normalized_shape, self.eps, self.elementwise_affine = norm.weight.shape, norm.eps, norm.elementwise_affine
        self.weight, self.full = norm.weight, full
        self.training = norm.training

    def forward(self, x: Tensor) -> Tensor:
        more = self.full / x.shape[-1]
        eps = torch.finfo(torch.promote_types(x.dtype, torch.float32)).eps if self.eps is None else self.eps  # torch's default
        return F.rms_norm(x, self.normalized_shape, self.weight * more**0.5, eps * more)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, full={self.full}"


class PickingLinear(nn.Linear):
    """A linear layer that reads some of the features that it is given, by index.  (*, n) -> (*, O)"""

    index: Tensor  # (in_features,) int64

    def __init__(self, linear: nn.Linear, index: Tensor):
        """index: of the features that `linear` reads"""
        nn.Module.__init__(self)
        index = index.to(linear.weight.device)
        weight = linear.weight.detach().index_select(1, index)
        self.in_features, self.out_features = len(index), linear.out_features
        self.weight, self.bias = nn.Parameter(weight, linear.weight.requires_grad), linear.bias
        self.register_buffer("index", linear.index[index] if isinstance(linear, PickingLinear) else index)
        self.training = linear.training

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.index_select(-1, self.index), self.weight, self.bias)
