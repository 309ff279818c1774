"""The layers that multiply by a weight, and noise on that weight: W ~ N(weight, exp(log_var)).

`weight` *is* the posterior mean, so that a dense checkpoint loads; `log_var` is one more parameter of the layer, which stays what it
is, of its own class. In training a hook adds the noise of the weights to what the layer computed, drawn afresh for every example and
output place: local reparameterisation (arXiv:1506.02557 sec. 2.3). In evaluation nothing is added, but within `sampling`."""

from typing import Any, TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sparsify.bayes import kernels
from sparsify.precision import fast_dtype

Convolution: TypeAlias = nn.Conv1d | nn.Conv2d | nn.Conv3d
Transposed: TypeAlias = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
Layer: TypeAlias = nn.Linear | Convolution | Transposed
_KINDS: tuple[type[Layer], ...] = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d,
                                   nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

# Of a neuron's mean square weight: one of zeros would start with no noise at all and could never be told from a certain one.
INITIAL_SIGNAL_FLOOR = 1e-8
SAMPLING = "sparsify_sampling"  # an attribute of what draws in evaluation too, while it does


def as_layer(module: nn.Module) -> Layer | None:
    """`module` if it multiplies what it is given by its own `weight` and does nothing else before that: one of the plain layers, or a
    subclass that computes as they do. None for any other, and where the weight itself is computed (weight_norm, parametrizations)."""
    for kind in _KINDS:
        if isinstance(module, kind):
            same = all(getattr(type(module), name) is getattr(kind, name) for name in ("forward", "_conv_forward") if hasattr(kind, name))
            own = "forward" not in vars(module) and isinstance(module._parameters.get("weight"), nn.Parameter)
            return module if same and own and not hasattr(module, "log_var") else None
    return None


def input_dim(layer: Layer) -> int:
    """The dimension of `weight` along which lies what the layer reads; of a group, where it has groups and is not transposed."""
    return 0 if isinstance(layer, Transposed) else 1


def log_var(layer: nn.Module) -> Tensor:
    """The log variances of a layer's weights, in their shape; for a layer that `start_noise` has seen."""
    return cast(Tensor, layer.log_var)


def start_noise(layer: Layer, rows: int, initial_alpha: float) -> None:
    """Turns `layer` into one with noise. Variances start at `initial_alpha` times the mean square of a neuron's weights.

    rows: the dimension of `weight` whose entries are the neurons"""
    weight = layer.weight.detach().movedim(rows, 0)
    signal = weight.flatten(1).square().mean(1).clamp_min(INITIAL_SIGNAL_FLOOR)  # (O,)
    start = (initial_alpha * signal).log().reshape(-1, *[1] * (weight.ndim - 1)).expand_as(weight).movedim(0, rows)
    layer.register_parameter("log_var", nn.Parameter(start.clone()))
    layer.register_forward_hook(add_noise, prepend=True, with_kwargs=True)


def end_noise(module: nn.Module) -> None:
    """Takes noise from a module that has it."""
    for key in [key for key, hook in module._forward_hooks.items() if hook is add_noise]:
        del module._forward_hooks[key], module._forward_hooks_with_kwargs[key]
        del module.log_var
        vars(module).pop(SAMPLING, None)


def draws(module: nn.Module) -> bool:
    """Whether its noise is drawn: in training, and within `sampling`."""
    return module.training or SAMPLING in vars(module)


def add_noise(layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any], mean: Tensor) -> Tensor:
    """A forward hook.  mean, the layer's output, as it comes: (N, *, O) or (N, O, *) -> the same"""
    if not draws(layer):
        return mean
    variance = output_variance(layer, args[0] if args else kwargs["input"], mean).to(mean.dtype)
    if kernels.on_gpu(mean):
        return kernels.noisy(mean, variance, noise_like(mean))
    return mean + (variance + kernels.VARIANCE_FLOOR).sqrt() * noise_like(mean)


def output_variance(layer: Layer, x: Tensor, mean: Tensor) -> Tensor:
    """Of the output `mean` at the input `x`: squared inputs times the variances of the weights.

    In bfloat16 where that is fast: the size of noise needs no more than three digits, and it is half of a layer's work."""
    dtype = fast_dtype(x.device.type) if x.dtype == torch.float32 else x.dtype
    if kernels.on_gpu(x):
        squares, variances = kernels.square(x, dtype), kernels.exp(log_var(layer), dtype)
    else:
        squares, variances = x.square().to(dtype), log_var(layer).exp().to(dtype)
    if isinstance(layer, nn.Linear):
        return F.linear(squares, variances)
    if isinstance(layer, Transposed):
        return _transposed(layer, squares, variances, mean)
    return layer._conv_forward(squares, variances, None)


def _transposed(layer: Transposed, squares: Tensor, variances: Tensor, mean: Tensor) -> Tensor:
    """As large as `mean`, whose size may have been asked for at the call."""
    n = variances.ndim - 2
    stride, padding, dilation = layer.stride, cast(tuple[int, ...], layer.padding), layer.dilation
    extra = [mean.shape[d - n] - ((squares.shape[d - n] - 1) * stride[d] - 2 * padding[d] + dilation[d] * (variances.shape[2 + d] - 1) + 1)
             for d in range(n)]
    function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[n - 1]
    return function(squares, variances, None, stride, padding, extra, layer.groups, dilation)


def noise_like(values: Tensor) -> Tensor:
    """Standard normal, drawn in the order of memory: in any other, channels-last say, a CPU takes several times as long.

    On a GPU in the precision of `values`, which spares a copy; a CPU draws fastest in float32."""
    drawn_in = values.dtype if kernels.on_gpu(values) else torch.float32
    in_memory = torch.randn(values.numel(), dtype=drawn_in, device=values.device)
    return in_memory.as_strided(values.shape, torch.empty_like(values).stride()).to(values.dtype)
