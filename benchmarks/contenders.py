"""The ways to run one network after it was sparsified, each an `nn.Module` from images to logits."""

import copy
import logging
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from benchmarks import report
from sparsify import export


def weighted(model: nn.Module) -> dict[str, nn.Linear | nn.Conv2d]:
    """By name, in order, the layers that multiply by a weight."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)}


class InParts(nn.Module):
    """`n` images at a time, so that what lies between two layers stays in the cache and its memory is used again."""

    def __init__(self, model: nn.Module, n: int):
        super().__init__()
        self.model, self.n = model, n

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.model(part) for part in x.split(self.n)])


def reparametrised(model: nn.Module) -> nn.Module:
    """torch.nn.utils.prune: weight_orig * weight_mask, multiplied anew at every pass."""
    twin = copy.deepcopy(model)
    for layer in weighted(twin).values():
        prune.custom_from_mask(layer, "weight", layer.weight != 0)
    return twin


class CsrLinear(nn.Module):
    def __init__(self, layer: nn.Linear):
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "beta state"
            self.weight = layer.weight.detach().to_sparse_csr()
        self.bias = layer.bias.detach()[:, None]

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, self.weight, x.t()).t()  # in inference three times as fast as F.linear, which has no sparse kernel


def sparse(model: nn.Module, share_zero: float) -> nn.Module:
    """The linear layers as compressed sparse rows, `share_zero` of their weights at zero, anywhere."""
    twin = copy.deepcopy(model)
    for name, layer in weighted(twin).items():
        if isinstance(layer, nn.Linear):
            layer.weight.data *= torch.rand_like(layer.weight) >= share_zero
            twin.set_submodule(name, CsrLinear(layer))
    return twin


def int8(model: nn.Module) -> nn.Module:
    """torch's dynamic quantisation of linear layers: weights int8, activations quantised at every pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated in favour of torchao, and working
        return torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {nn.Linear}, dtype=torch.qint8)


def onnx_files(networks: Mapping[str, nn.Module], images: Tensor) -> dict[str, bytes]:
    """By contender, float32 and int8 of each network, quantised at every pass (dynamic) or once (static, calibrated on `images`); empty
    where a package is missing."""
    if not all([report.optional(module) for module in export.ONNX]):
        return {}
    import onnx
    from onnxruntime.quantization import quantize_dynamic

    files = {}
    logging.getLogger().setLevel(logging.ERROR)  # the quantiser proposes another pre-processing, of no use without shapes
    with tempfile.TemporaryDirectory() as scratch:
        small = Path(scratch) / "int8.onnx"
        for name, model in networks.items():
            plain = files[f"onnxruntime {name}"] = export.onnx(export.program(model, images), {})
            quantize_dynamic(onnx.load_model_from_string(plain), small)
            files[f"onnxruntime int8 {name}"] = small.read_bytes()
            files[f"onnxruntime static int8 {name}"] = export.int8(plain, [images])
    return files
