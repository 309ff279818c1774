"""Multiply-accumulates of a pass, by torch's own counter, which counts only operations that it has a formula for."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Size, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, flop_registry

# Of products that torch has none for, a matrix by a vector and nn.Bilinear, in which each example uses each weight once: two operations
# a multiply-accumulate, by the shapes of what goes in.
FORMULAS: dict[Any, Callable[..., int]] = {
    torch.ops.aten.mv: lambda matrix, vector, **_: 2 * matrix.numel(),
    torch.ops.aten._trilinear: lambda one, weight, *_, **__: 2 * one[0] * Size(weight).numel(),
}
# Products of torch that nobody counts: a fused kernel that no switch turns off, those that `_unfused` should turn off, and rare ones.
UNCOUNTED = {"_lstm_mps", "_cudnn_rnn", "miopen_rnn", "mkldnn_rnn_layer", "_native_multi_head_attention", "_transformer_encoder_layer_fwd",
             "addbmm", "addmv", "conv_tbc", "_addmm_activation", "_grouped_mm", "_int_mm", "_sparse_addmm"}
TORCHS = {"aten", "prim", "prims", "higher_order"}  # namespaces of torch's own operations


@torch.no_grad()
def products(network: nn.Module, given: tuple[Any, ...]) -> int:
    """Multiply-accumulates of network(*given): of every product, also of two activations. Warns of operations that are not among them."""
    with _unfused(), _Uncounted() as uncounted, FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
        network(*given)
    if uncounted.names:
        warnings.warn(f"multiply-accumulates of {', '.join(uncounted.names)} are not counted; give torch a formula of them "
                      "(torch.utils.flop_counter.register_flop_formula)", stacklevel=2)
    return counter.get_total_flops() // 2


@contextmanager
def _unfused() -> Iterator[None]:
    """LSTM, GRU and attention as single products: oneDNN, cuDNN and torch's fast path do a layer in one operation, without a formula."""
    backends: tuple[Any, ...] = (torch.backends.mkldnn, torch.backends.cudnn)
    attention = torch.backends.mha
    before, fast = [backend.enabled for backend in backends], attention.get_fastpath_enabled()
    try:
        for backend in backends:
            backend.enabled = False
        attention.set_fastpath_enabled(False)
        with sdpa_kernel(SDPBackend.MATH):  # before 2.15 the fused one of CPUs has no formula
            yield
    finally:
        for backend, enabled in zip(backends, before, strict=True):
            backend.enabled = enabled
        attention.set_fastpath_enabled(fast)


class _Uncounted(TorchDispatchMode):
    """Names of operations that multiply and have no formula: those of UNCOUNTED, and others than torch's own that read a matrix."""

    supports_higher_order_operators = True  # as the counter does, which raises for those that it does not know

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, None] = {}  # in the order in which they came

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.__name__.partition(".")[0]
        multiplies = name in UNCOUNTED if func.namespace in TORCHS else _reads_matrix((args, kwargs))
        if multiplies and getattr(func, "overloadpacket", func) not in flop_registry:
            self.names[name] = None
        return func(*args, **kwargs)


def _reads_matrix(values: Any) -> bool:
    return any(isinstance(each, nn.Parameter) and each.ndim > 1 for each in tree_leaves(values))
