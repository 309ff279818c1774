"""The KL of fused.py for a GPU: a kernel for the values that are summed, and one in the backward pass for both gradients.

Each function takes mean and log_var (O, J), and `scale`, () or of a shape that broadcasts to (O, J), and returns the sum () in nats of
`scale` times its plain formula in kl.py; so it is held by the tests."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sparsify.bayes.kernels import Kernel
from sparsify.bayes.kl import LOG_ALPHA_LIMIT, MIN_SHARE, MIN_TOTAL, SIGMOID_FIT, SQUARE_FLOOR

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

# Two components, each a log variance c and a log share p, and an indicator a weight.
MIXTURE = Kernel("""template <typename T> T mixture(T mean, T log_var, T c0, T c1, T p0, T p1, T scale) {
    T moment = exp(log_var) + mean * mean;
    T joint0 = p0 - T(0.5) * (c0 - T(1) - log_var + moment * exp(-c0)), joint1 = p1 - T(0.5) * (c1 - T(1) - log_var + moment * exp(-c1));
    T gap = joint0 - joint1;
    return -scale * ((gap > T(0) ? joint0 : joint1) + log1p(exp(gap > T(0) ? -gap : gap)));
}""")
MIXTURE_SLOPES = Kernel("""template <typename T>
void mixture_slopes(T mean, T log_var, T c0, T c1, T p0, T p1, T scale, T grad, T& d_mean, T& d_log_var) {
    T variance = exp(log_var), moment = variance + mean * mean, precision0 = exp(-c0), precision1 = exp(-c1);
    T share0 = T(1) / (T(1) + exp(p1 - p0 + T(0.5) * (c0 - c1 + moment * (precision0 - precision1))));  // of the weight
    T slope = T(0.5) * (share0 * precision0 + (T(1) - share0) * precision1);  // of the KL in the moment
    d_mean = T(2) * scale * grad * mean * slope;
    d_log_var = scale * grad * (variance * slope - T(0.5));
}""", outputs=2)
# What a weight gives to the first component, of its one indicator and of its second moment, and its moment.
SHARES = Kernel("""template <typename T>
void shares(T mean, T log_var, T c0, T c1, T p0, T p1, T& share0, T& moment0, T& moment) {
    moment = exp(log_var) + mean * mean;
    share0 = T(1) / (T(1) + exp(p1 - p0 + T(0.5) * (c0 - c1 + moment * (exp(-c0) - exp(-c1)))));
    moment0 = share0 * moment;
}""", outputs=3)
# An EM step from the sums of those over `n` holders of an indicator: the log variances and log shares that they imply.
FIT = Kernel(f"""template <typename T>
void fit(T total0, T moment0, T moment, T c0, T c1, T n, T weights_each, T floor, T& new_c0, T& new_c1, T& p0, T& p1) {{
    T total1 = n - total0, variance0 = exp(c0), variance1 = exp(c1);
    if (total0 > T({MIN_TOTAL})) variance0 = moment0 / (weights_each * total0);
    if (total1 > T({MIN_TOTAL})) variance1 = (moment - moment0) / (weights_each * total1);
    new_c0 = log(variance0 < floor ? floor : variance0);
    new_c1 = log(variance1 < floor ? floor : variance1);
    T share0 = total0 / n, share1 = total1 / n;
    share0 = share0 < T({MIN_SHARE}) ? T({MIN_SHARE}) : share0;
    share1 = share1 < T({MIN_SHARE}) ? T({MIN_SHARE}) : share1;
    p0 = log(share0 / (share0 + share1));
    p1 = log(share1 / (share0 + share1));
}}""", outputs=4, numbers=("n", "weights_each", "floor"))


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


def mixture_of_weights(mean: Tensor, log_var: Tensor, component_log_var: Tensor, log_share: Tensor, scale: Tensor) -> Tensor:
    """component_log_var, log_share: (2, O, 1), an indicator a weight"""
    return _Sum.apply(MIXTURE, MIXTURE_SLOPES, slice(None), mean, log_var, *component_log_var, *log_share, scale)
