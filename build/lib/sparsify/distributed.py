"""One training in several processes, each with its share of every batch: the steps that one process would take.

DistributedDataParallel takes the mean over the processes of the gradients of their losses. Each loss is the mean over that process's
share of the batch, as large as the others', plus the KL, which is the same everywhere: so the mean is the gradient of the whole batch's
loss with the KL once, and nothing has to be divided again. Batch normalisation takes its statistics over the whole batch. The order of
the images is that of process 0, noise and perturbations are drawn by each process for itself. What is fitted besides, a mixture's EM, is
a function of parameters that are alike everywhere, and process 0's goes to all before each step.

Without a process group everything here does nothing. Whoever starts the processes makes the group (`torch.distributed`)."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from sparsify.settings import InputError

B = TypeVar("B")
T = TypeVar("T")
Loss = Callable[[B], dict[str, Tensor]]


def active() -> bool:
    return dist.is_available() and dist.is_initialized()


def count() -> int:
    return dist.get_world_size() if active() else 1


def first() -> bool:
    """Whether this is the process that writes what all read."""
    return not active() or dist.get_rank() == 0


def averaged(model: nn.Module, loss: Loss[B]) -> Loss[B]:
    """`loss`, which asks `model`, with gradients that come out alike in all processes. `model` is that of process 0 from here on."""
    return DistributedDataParallel(_Whole(model, loss)) if active() else loss


def share(order: Tensor) -> Tensor:
    """This process's part of each batch. Raises InputError where the parts would not be equal.  (steps, B) -> (steps, B / processes)"""
    batch_size = order.shape[1]
    if batch_size % count():
        raise InputError(f"a batch of {batch_size} images cannot be shared out evenly to {count()} processes; choose a batch_size that "
                         "divides by that")
    return order.chunk(count(), 1)[dist.get_rank()] if active() else order


def mean(values: Tensor) -> Tensor:
    """Over all processes, element by element."""
    return _summed(values) / count() if active() else values


def same(value: T) -> T:
    """What process 0 has: a tensor, of the same shape everywhere, or plain data."""
    if not active():
        return value
    if isinstance(value, Tensor):
        dist.broadcast(value, 0)
        return value
    box: list[Any] = [value]
    dist.broadcast_object_list(box, 0)
    return box[0]


def check_alike(value: int, what: str) -> None:
    """Raises InputError where process 0 has another one: all would wait for one another for ever."""
    there = same(value)
    if there != value:
        raise InputError(f"process 0 found {there}, process {dist.get_rank()} {value} {what}")


def draw_apart(seed: int, epoch: int) -> None:
    """Gives every process but 0 random numbers of its own for an epoch.

    They hang on nothing but these two and its rank, so that an interrupted training resumes with the same ones; those of process 0 are
    the single process's, and are saved with its state."""
    if not first():
        digest = hashlib.sha256(f"{seed} {epoch} {dist.get_rank()}".encode()).digest()
        torch.manual_seed(int.from_bytes(digest[:8], "little"))


class _Whole(nn.Module):
    """A loss as a module, the KL and all that it asks included, as DistributedDataParallel looks at parameters through a forward."""

    def __init__(self, model: nn.Module, loss: Loss[B]):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Any) -> dict[str, Tensor]:
        with _whole_batch_statistics(self.model):
            return self.loss(batch)


@contextmanager
def _whole_batch_statistics(model: nn.Module) -> Iterator[None]:
    """Within, the model's batch normalisation in training sees the shares of all processes (torch.nn.SyncBatchNorm has no CPU)."""
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.training]
    try:
        for layer in layers:
            vars(layer)["forward"] = partial(_normalised, layer)
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def _normalised(layer: _BatchNorm, x: Tensor) -> Tensor:
    """(N, C, ...) -> (N, C, ...), N of this process"""
    values = x if x.dtype == torch.float64 else x.float()
    dims, shape = [dim for dim in range(x.ndim) if dim != 1], [1, -1, *[1] * (x.ndim - 2)]
    centre = _Sum.apply(values.mean(dims)) / count()
    values = values - centre.reshape(shape)
    variance = _Sum.apply(values.square().mean(dims)) / count()
    if layer.running_mean is not None and layer.running_var is not None and layer.num_batches_tracked is not None:
        with torch.no_grad():
            n = count() * values.numel() // values.shape[1]
            layer.num_batches_tracked.add_(1)
            momentum = 1 / layer.num_batches_tracked.item() if layer.momentum is None else layer.momentum
            layer.running_mean.lerp_(centre.to(layer.running_mean), momentum)
            layer.running_var.lerp_((variance * n / (n - 1)).to(layer.running_var), momentum)
    values = values * (variance + layer.eps).rsqrt().reshape(shape)
    if layer.affine:
        values = values * layer.weight.reshape(shape) + layer.bias.reshape(shape)
    return values.to(x.dtype)


class _Sum(torch.autograd.Function):
    """Over the processes. Every process's loss hangs on every summand, so that the gradients are summed as well."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _summed(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


def _summed(values: Tensor) -> Tensor:
    total = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total
