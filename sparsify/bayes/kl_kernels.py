"""The KL of fused.py for a GPU: a kernel for the values that are summed, and one in the backward pass for both gradients.

Each function takes mean and log_var (O, J), and `scale`, () or of a shape that broadcasts to (O, J), and returns the sum () in nats of
`scale` times its plain formula in kl.py; so it is held by the tests."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sparsify.bayes.kernels import Kernel
from sparsify.bayes.kl import LOG_ALPHA_LIMIT, SIGMOID_FIT, SQUARE_FLOOR

_K1, _K2, _K3 = SIGMOID_FIT
# Comparisons that NaN fails, so that it stays NaN.
LOG_UNIFORM = Kernel(f"""template <typename T> T log_uniform(T mean, T log_var, T scale) {{
    T log_alpha = log_var - log(mean * mean + T({SQUARE_FLOOR})), limit = T({LOG_ALPHA_LIMIT});
    log_alpha = log_alpha < -limit ? -limit : log_alpha > limit ? limit : log_alpha;
    return scale * (T({_K1}) / (T(1) + exp(T({_K2}) + T({_K3}) * log_alpha)) + T(0.5) * log1p(exp(-log_alpha)));
}}""")
LOG_UNIFORM_SLOPES = Kernel(f"""template <typename T>
void log_uniform_slopes(T mean, T log_var, T scale, T grad, T& d_mean, T& d_log_var) {{
    T square = mean * mean + T({SQUARE_FLOOR});
    T log_alpha = log_var - log(square);
    T fit = T(1) / (T(1) + exp(T({_K2}) + T({_K3}) * log_alpha));
    T slope = T({_K1 * _K3}) * (fit * fit - fit) - T(0.5) / (T(1) + exp(log_alpha));
    bool clipped = log_alpha <= T(-{LOG_ALPHA_LIMIT}) || log_alpha >= T({LOG_ALPHA_LIMIT});
    d_log_var = clipped ? T(0) : scale * grad * slope;
    d_mean = T(-2) * mean / square * d_log_var;
}}""", outputs=2)

SECOND_MOMENT = Kernel("template <typename T> T second_moment(T mean, T log_var) { return exp(log_var) + mean * mean; }")
# A Gaussian whose variance is fitted to `moment`, the mean second moment of the weights that share it.
FITTED = Kernel("template <typename T> T fitted(T log_var, T moment, T scale) { return T(0.5) * scale * (log(moment) - log_var); }")
FITTED_SLOPES = Kernel("""template <typename T>
void fitted_slopes(T mean, T log_var, T moment, T scale, T grad, T& d_mean, T& d_log_var) {
    d_mean = scale * grad * mean / moment;
    d_log_var = T(0.5) * scale * grad * (exp(log_var) / moment - T(1));
}""", outputs=2)


class _Sum(torch.autograd.Function):
    """value.sum(): `value` is taken of the operands numbered `of`, `slopes` of all of them and of the gradient."""

    @staticmethod
    def forward(ctx: Any, value: Kernel, slopes: Kernel, of: slice, mean: Tensor, log_var: Tensor, *others: Tensor) -> Tensor:
        operands = (mean, log_var, *others)
        ctx.slopes = slopes
        ctx.save_for_backward(*operands)
        return value(*operands[of]).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        operands = ctx.saved_tensors
        return None, None, None, *ctx.slopes(*operands, grad), *[None] * (len(operands) - 2)


def log_uniform(mean: Tensor, log_var: Tensor, scale: Tensor) -> Tensor:
    return _Sum.apply(LOG_UNIFORM, LOG_UNIFORM_SLOPES, slice(None), mean, log_var, scale)


def ard(mean: Tensor, log_var: Tensor, scale: Tensor) -> Tensor:
    with torch.no_grad():
        moment = SECOND_MOMENT(mean, log_var).add_(SQUARE_FLOOR)  # (O, J)
    return _Sum.apply(FITTED, FITTED_SLOPES, slice(1, None), mean, log_var, moment, scale)


def row_gaussian(mean: Tensor, log_var: Tensor, scale: Tensor) -> Tensor:
    with torch.no_grad():
        moment = SECOND_MOMENT(mean, log_var).mean(1, keepdim=True)  # (O, 1), at which the KL is least: it has no gradient of its own
    return _Sum.apply(FITTED, FITTED_SLOPES, slice(1, None), mean, log_var, moment, scale)
