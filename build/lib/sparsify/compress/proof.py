"""The proof of a removal: the small network against the masked one in float64, on random inputs, in two sizes of a batch."""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from sparsify.settings import InputError
from sparsify.structure.export import Example, arguments, few

EXACT = 1e-9  # the largest gap in float64 that sums in another order make, as a share of the largest output
ROUNDED = 1e-4  # the same in a network that float64 does not run
MANY = 128  # times the example, where outputs are choices: these agree by chance on a few
SMALLEST = 1e-6  # the largest output counts as no smaller than this


class Proof:
    """What the masked network answers, and how far a small one is from it."""

    def __init__(self, masked: nn.Module, example: Example):
        given = arguments(example)
        failure: Exception | None = None
        # All of the example, where the network takes batches of one size alone, or an example without a batch; as it is, where the network
        # does not take just any numbers: logarithms, indices.
        tries = [(whole, drawn) for drawn in (True, False) for whole in (few(given), given)]
        for self.allowed, dtype in ((EXACT, torch.float64), (ROUNDED, None)):
            for whole, drawn in tries:
                try:
                    network = copy.deepcopy(masked).eval() if dtype is None else _in_float64(masked)
                    self.cases = list(self._answered(network, whole, dtype, drawn))
                    return
                except Exception as error:  # whatever the network raises
                    failure = error
        raise InputError(f"the network does not run with the example that was given: {' '.join(str(failure).split())[:200]}")

    @torch.no_grad()
    def gap(self, small: nn.Module) -> float:
        """The largest difference of two outputs, as a share of the largest output. Raises whatever the small network raises."""
        network = _in_float64(small) if self.allowed == EXACT else copy.deepcopy(small).eval()
        worst = 0.0
        for inputs, answers in self.cases:
            for ours, theirs in zip(_tensors(network(*inputs)), answers, strict=True):
                if ours.shape != theirs.shape:
                    raise RuntimeError(f"an output of shape {tuple(ours.shape)} in place of {tuple(theirs.shape)}")
                if not _continuous(ours):  # which one is the largest, say
                    worst = worst if torch.equal(ours, theirs) else float("inf")
                    continue
                gaps = (ours - theirs).abs().masked_fill(ours == theirs, 0)  # infinite scores that agree
                largest = theirs.abs().masked_fill(~theirs.isfinite(), 0).max().clamp_min(SMALLEST) if ours.numel() else 1
                gap = gaps.max() / largest if ours.numel() else torch.zeros(())
                worst = max(worst, gap.item() if gap.isfinite() else float("inf"))
        return worst

    @staticmethod
    @torch.no_grad()
    def _answered(network: nn.Module, whole: tuple[Any, ...], dtype: torch.dtype | None,
                  drawn: bool) -> Iterator[tuple[tuple[Any, ...], list[Tensor]]]:
        sizes = [whole, _other_size(whole)]
        for number, sized in enumerate(sizes):  # which may become one more
            inputs = tuple(_input(each, dtype, number if drawn else None) for each in sized)
            try:
                answers = _tensors(network(*inputs))
                if drawn and any(each.isnan().any() for each in answers):
                    raise ValueError("outputs at random inputs that are no numbers")
            except Exception:
                if number == 0:
                    raise
                continue  # a network that takes batches of one size alone
            if number == 0 and drawn and not all(_continuous(each) for each in answers):
                sizes.append(tuple(_repeated(each, MANY) for each in whole))
            yield inputs, answers


def _in_float64(network: nn.Module) -> nn.Module:
    """A copy in evaluation; each tensor is copied once."""
    memo: dict[int, Tensor] = {}
    for tensor in (*network.parameters(), *network.buffers()):
        if _continuous(tensor):
            wide = tensor.detach().to(torch.promote_types(tensor.dtype, torch.float64), copy=True)
            memo[id(tensor)] = nn.Parameter(wide, requires_grad=False) if isinstance(tensor, nn.Parameter) else wide
    return copy.deepcopy(network, dict(memo)).eval().double()  # what lies outside of parameters and buffers, as RNNs' lists do


def _other_size(given: tuple[Any, ...]) -> tuple[Any, ...]:
    """One example where there are several, else two."""
    def changed(value: Any) -> Any:
        if not isinstance(value, Tensor) or value.ndim == 0:
            return value
        return value[:1] if len(value) > 1 else torch.cat([value, value])
    return tuple(changed(each) for each in given)


def _continuous(values: Tensor) -> bool:
    return values.is_floating_point() or values.is_complex()


def _repeated(value: Any, times: int) -> Any:
    return value.repeat(times, *[1] * (value.ndim - 1)) if isinstance(value, Tensor) and value.ndim else value


def _input(value: Any, dtype: torch.dtype | None, seed: int | None) -> Any:
    """Of the same shape and device, drawn without touching torch's own generators (seed None: as it is); whole numbers stay."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return value
    if seed is None:
        return value.to(dtype or value.dtype)
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(value.shape, generator=generator, dtype=dtype or value.dtype).to(value.device)


def _tensors(output: Any) -> list[Tensor]:
    """The tensors in an output of any form."""
    leaves = pytree.tree_leaves(output if not hasattr(output, "items") else dict(output.items()))
    return [each for each in leaves if isinstance(each, Tensor)]
