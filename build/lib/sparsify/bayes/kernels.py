"""What is computed in another way on a GPU, where each operation is a launch and waits for memory: in one kernel what a CPU does in many.

A kernel is C++ for one element, which torch's jiterator compiles for the device when it is first called and keeps on disk. Operands
broadcast, may lie in memory as they like, and are computed in the widest of their types, bfloat16 in float32.
What is made of kernels here is differentiable once."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Under the square root of a variance: the gradient of sqrt is infinite at 0, where a unit sees nothing but zeros.
VARIANCE_FLOOR = 1e-12


def on_gpu(tensor: Tensor) -> bool:
    """Whether what is here serves; torch.compile is better served by plain formulas."""
    return tensor.is_cuda and not torch.compiler.is_compiling()


class Kernel:
    """code: a template of C++, which takes operands and then `numbers`, and returns its only output, or takes `outputs` by reference
    behind them."""

    def __init__(self, code: str, outputs: int = 1, numbers: tuple[str, ...] = ()):
        self.code, self.outputs, self.numbers = code, outputs, numbers

    def __call__(self, *operands: Tensor, **numbers: float) -> Any:
        """-> the output, or a tuple of them"""
        return compiled(self.code, self.outputs, self.numbers)(*operands, **numbers)


@cache
def compiled(code: str, outputs: int, numbers: tuple[str, ...]) -> Callable[..., Any]:
    if outputs == 1:
        return torch.cuda.jiterator._create_jit_fn(code, **dict.fromkeys(numbers, 0.0))
    return torch.cuda.jiterator._create_multi_output_jit_fn(code, outputs, **dict.fromkeys(numbers, 0.0))


SQUARE_SLOPE = Kernel("template <typename T> T square_slope(T x, T grad) { return T(2) * x * grad; }")
EXP_SLOPE = Kernel("template <typename T> T exp_slope(T x, T grad) { return exp(x) * grad; }")
NOISY = Kernel(f"""template <typename T> T noisy(T mean, T variance, T noise) {{
    return mean + sqrt(variance + T({VARIANCE_FLOOR})) * noise;
}}""")
NOISY_SLOPE = Kernel(f"""template <typename T> T noisy_slope(T grad, T variance, T noise) {{
    return T(0.5) * grad * noise / sqrt(variance + T({VARIANCE_FLOOR}));
}}""")


class _Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(x)
        return torch.mul(x, x).to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return SQUARE_SLOPE(*ctx.saved_tensors, grad), None


class _Exp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(x)
        return torch.exp(x, out=torch.empty_like(x, dtype=dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return EXP_SLOPE(*ctx.saved_tensors, grad), None


class _Noisy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, mean: Tensor, variance: Tensor, noise: Tensor) -> Tensor:
        ctx.save_for_backward(variance, noise)
        return NOISY(mean, variance, noise)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        return grad, NOISY_SLOPE(grad, *ctx.saved_tensors), None


def square(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x.square() in `dtype`, no wider than that of `x`. Autocast would square in float32, and torch's own gradient is three operations."""
    return _Square.apply(x, dtype)


def exp(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x.exp() in `dtype`, no wider than that of `x`, without a copy in between."""
    return _Exp.apply(x, dtype)


def noisy(mean: Tensor, variance: Tensor, noise: Tensor) -> Tensor:
    """mean + (variance + VARIANCE_FLOOR).sqrt() * noise, of one type, without a gradient for the noise."""
    return _Noisy.apply(mean, variance, noise)
