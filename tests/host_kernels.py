"""A GPU's kernels on a CPU: the same C++ by the host's compiler, in double precision."""

import ctypes
import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch

LOOP = """#include <cmath>
using namespace std;
%s
extern "C" void run(long n, double** in, double** out) { for (long i = 0; i < n; ++i) %s; }
"""


@cache
def compiled(code, outputs, numbers):
    """In place of sparsify.bayes.kernels.compiled."""
    name, parameters = re.fullmatch(r"template <typename T>\s\w+ (\w+)\((.*?)\) \{.*\}\s*", code, re.DOTALL).groups()
    operands = len(parameters.split(",")) - (outputs if outputs > 1 else 0)
    values = ", ".join(f"in[{k}][i]" for k in range(operands))
    results = [f"out[{k}][i]" for k in range(outputs)]
    call = f"out[0][i] = {name}<double>({values})" if outputs == 1 else f"{name}<double>({values}, {', '.join(results)})"
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "kernel.so"
        subprocess.run(["c++", "-shared", "-fPIC", "-x", "c++", "-", "-o", library], input=LOOP % (code, call), text=True, check=True)
        run = ctypes.CDLL(str(library)).run

    @torch.no_grad()
    def launch(*tensors, **values):
        assert len(tensors) <= 8 and tuple(values) == numbers
        tensors += tuple(torch.tensor(value, dtype=torch.float64) for value in values.values())
        assert len(tensors) == operands
        dtype = tensors[0].dtype
        for tensor in tensors:
            dtype = torch.promote_types(dtype, tensor.dtype) if tensor.ndim else dtype
        given = [tensor.double().contiguous() for tensor in torch.broadcast_tensors(*tensors)]
        made = [torch.empty_like(given[0]) for _ in range(outputs)]
        pointers = [(ctypes.c_void_p * len(part))(*(tensor.data_ptr() for tensor in part)) for part in (given, made)]
        run(ctypes.c_long(given[0].numel()), *pointers)
        like = next(tensor for tensor in tensors if tensor.shape == given[0].shape)
        results = tuple(torch.empty_like(like, dtype=dtype).copy_(tensor) for tensor in made)
        return results[0] if outputs == 1 else results
    return launch
