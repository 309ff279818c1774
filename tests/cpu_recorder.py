"""A CUDA graph's stand-in on a CPU, so that captured training is tested without a GPU: operations are written down below autograd and
done again on the same tensors. Whatever was a Python number when they were written down stays so, as in a graph."""

from contextlib import contextmanager

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class CpuRecorder:
    @contextmanager
    def stream(self):
        yield

    @contextmanager
    def obstacles(self):
        yield []

    def record(self, run):
        generator, operations = torch.get_rng_state(), _Operations()
        try:
            with operations:
                run()
        finally:  # whether or not it came to an end, it has had no effect
            operations.undo()
            torch.set_rng_state(generator)
        return operations.replay


class _Operations(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.done, self.made, self.before = [], {}, {}  # by id, the tensors of within, and those of without as they were

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        for tensor in tree_leaves((args, kwargs)):
            if isinstance(tensor, Tensor) and id(tensor) not in self.made and id(tensor) not in self.before:
                self.before[id(tensor)] = tensor, tensor.detach().clone()
        results = function(*args, **kwargs)
        for tensor in tree_leaves(results):
            if isinstance(tensor, Tensor) and id(tensor) not in self.before:
                self.made[id(tensor)] = tensor
        self.done.append((function, args, kwargs, results))
        return results

    @torch.no_grad()
    def undo(self):
        for tensor, value in reversed(self.before.values()):
            tensor.copy_(value)

    @torch.no_grad()
    def replay(self):
        for function, args, kwargs, results in self.done:
            for kept, new in zip(tree_leaves(results), tree_leaves(function(*args, **kwargs)), strict=True):
                if isinstance(kept, Tensor) and kept.data_ptr() != new.data_ptr():
                    kept.copy_(new)
