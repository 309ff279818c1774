"""The KL of whole layers for training: value and gradient together, in a third of the passes over memory that autograd takes.

Each function equals the sum of its plain formula in kl.py, and that one's gradient; the tests hold them to it.
All take mean and log_var (O, J) and return the sum () in nats, d sum / d mean (O, J) and d sum / d log_var (O, J)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sparsify.bayes.kl import LOG_ALPHA_LIMIT, SIGMOID_FIT, SQUARE_FLOOR

ValueAndGradient = tuple[Tensor, Tensor, Tensor]


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, mean: Tensor, log_var: Tensor, function: Callable[[Tensor, Tensor], ValueAndGradient]) -> Tensor:
        value, grad_mean, grad_log_var = function(mean, log_var)
        ctx.save_for_backward(grad_mean, grad_log_var)
        return value

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        grad_mean, grad_log_var = ctx.saved_tensors
        return grad_mean.mul(grad), grad_log_var.mul(grad), None


def kl_sum(function: Callable[[Tensor, Tensor], ValueAndGradient], mean: Tensor, log_var: Tensor) -> Tensor:
    """The sum that `function` returns, differentiable once.  -> () nats"""
    return _Fused.apply(mean, log_var, function)


def log_uniform(mean: Tensor, log_var: Tensor) -> ValueAndGradient:
    k1, k2, k3 = SIGMOID_FIT
    square = mean.square().add_(SQUARE_FLOOR)
    unclipped = torch.sub(log_var, square.log())
    log_alpha = unclipped.clamp(-LOG_ALPHA_LIMIT, LOG_ALPHA_LIMIT)
    certain = log_alpha.neg().sigmoid_()  # 1 / (1 + alpha)
    fit = log_alpha.mul_(-k3).sub_(k2).sigmoid_()
    value = k1 * fit.sum() - 0.5 * _log_sum(1 - certain)
    grad_log_var = fit.square().sub_(fit).mul_(k1 * k3).sub_(certain, alpha=0.5)
    grad_log_var = torch.ops.aten.hardtanh_backward(grad_log_var, unclipped, -LOG_ALPHA_LIMIT, LOG_ALPHA_LIMIT)  # 0 where clipped
    grad_mean = torch.div(grad_log_var, square, out=square).mul_(mean).mul_(-2)
    return value, grad_mean, grad_log_var


def ard(mean: Tensor, log_var: Tensor, scale: Tensor) -> ValueAndGradient:
    """scale: what each value counts for, in a shape that broadcasts to (O, J)"""
    variance = log_var.exp()
    second_moment = torch.addcmul(variance, mean, mean).add_(SQUARE_FLOOR)
    value = 0.5 * (second_moment.log().sub_(log_var).mul_(scale)).sum()
    return value, torch.div(mean, second_moment).mul_(scale), variance.div_(second_moment).sub_(1).mul_(0.5 * scale)


def row_gaussian(mean: Tensor, log_var: Tensor) -> ValueAndGradient:
    variance = log_var.exp()
    scale = torch.addcmul(variance, mean, mean).mean(1, keepdim=True)  # (O, 1)
    value = 0.5 * (mean.shape[1] * scale.log().sum() - log_var.sum())
    return value, mean / scale, variance.div_(scale).sub_(1).mul_(0.5)


def mixture_of_weights(mean: Tensor, log_var: Tensor, component_log_var: Tensor, log_share: Tensor) -> ValueAndGradient:
    """Two components a neuron, an indicator a weight.  component_log_var, log_share: (2, O, 1)"""
    variance = log_var.exp()
    second_moment = torch.addcmul(variance, mean, mean)
    odds, (narrow, wide), offsets = mixture_log_odds(second_moment, component_log_var, log_share, 1)
    value = (second_moment.sum(1, keepdim=True) * wide).sum() - mean.shape[1] * offsets[1].sum() - _softplus_sum(odds) \
        - 0.5 * (log_var.sum() + log_var.numel())
    slope = torch.addcmul(wide, odds.sigmoid_(), narrow - wide)  # d KL / d second moment
    return value, torch.mul(slope, mean).mul_(2), variance.mul_(slope).sub_(0.5)


def _log_sum(x: Tensor) -> Tensor:
    """x.log().sum() for values from e^-9 to 1: eight of them multiplied still are far above the smallest float, and need one logarithm."""
    x = x.flatten()
    whole = len(x) // 8 * 8
    return x[:whole].view(8, -1).prod(0).log_().sum() + x[whole:].log().sum()


def _softplus_sum(x: Tensor) -> Tensor:
    """F.softplus(x).sum()"""
    return x.clamp_min(0).sum() - _log_sum(x.abs().sigmoid_())


def mixture_log_odds(second_moment: Tensor, component_log_var: Tensor, log_share: Tensor,
                     weights_each: int) -> tuple[Tensor, Tensor, Tensor]:
    """Log odds that a holder of an indicator, of `weights_each` weights, belongs to the first component.

    (G, n), (2, G, 1), (2, G, 1) -> (G, n), and by component 1 / (2 sigma^2) and log pi - weights_each log sigma, (2, G, 1) each"""
    precision = 0.5 * (-component_log_var).exp()
    offsets = log_share - 0.5 * weights_each * component_log_var
    return torch.addcmul(offsets[0] - offsets[1], second_moment, precision[1] - precision[0]), precision, offsets
