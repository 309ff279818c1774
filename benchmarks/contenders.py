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


class OnnxRuntime(nn.Module):
    """`content`: the ONNX file. Threads do not spin: those of one session would take the cores from the other contenders."""

    def __init__(self, content: bytes, threads: int):
        super().__init__()
        onnxruntime = report.optional("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.session.run(None, {self.input: x.numpy()})[0])


def onnx_files(networks: Mapping[str, nn.Module], images: Tensor) -> dict[str, bytes]:
    """By contender, float32 and int8 of each network; empty where a package is missing."""
    if not all([report.optional(module) for module in ("onnx", "onnxruntime", "onnxscript")]):
        return {}
    import onnx
    from onnxruntime.quantization import quantize_dynamic

    files = {}
    logging.getLogger().setLevel(logging.ERROR)  # the quantiser proposes another pre-processing, of no use without shapes
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain, small = Path(scratch) / "plain.onnx", Path(scratch) / "int8.onnx"
        for name, model in networks.items():
            batch = {0: torch.export.Dim("N")}
            graph = torch.onnx.export(model.eval(), (images,), dynamic_shapes=(batch,), dynamo=True, verbose=False).model_proto
            files[f"onnxruntime {name}"] = graph.SerializeToString()
            del graph.graph.value_info[:]  # shapes that no longer fit once the quantiser has transposed the weights
            onnx.save(graph, plain)
            quantize_dynamic(plain, small)
            files[f"onnxruntime int8 {name}"] = small.read_bytes()
    return files
