"""Networks as files that run without this library: ONNX in float32 and int8, and torch.export's programs (.pt2); and ONNX files, run.

`onnx`, `onnxruntime` and `onnxscript` may be missing: `missing` says which are, and only what needs them fails."""

import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from sparsify.settings import InputError

ONNX = ("onnx", "onnxruntime", "onnxscript")  # what ONNX files are made and run with
INPUT, OUTPUT, BATCH, ABOUT = "input", "logits", "N", "sparsify"  # names inside the files


class Normalised(nn.Module):
    """A network that takes its inputs as they are stored, uint8 images or raw rows, and normalises them: (x / unit - mean) / std.

    mean, std: (C,), by channel or feature; unit: 255 for bytes, 1 for other numbers.  (N, C, ...) -> what the network gives"""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor, unit: float):
        super().__init__()
        self.network, self.unit = network, unit
        self.register_buffer("mean", mean.float())
        self.register_buffer("std", std.float())
        self.train(network.training)

    def forward(self, x: Tensor) -> Tensor:
        mean, std = (values.reshape(-1, *[1] * (x.ndim - 2)) for values in (self.mean, self.std))
        return self.network((x.float() / self.unit - mean) / std)


def missing() -> list[str]:
    """The packages that ONNX needs and that are not installed."""
    return [package for package in ONNX if find_spec(package) is None]


def program(network: nn.Module, example: Tensor) -> ExportedProgram:
    """The network as a graph that takes any number of examples. It is put in evaluation.

    example: what it takes, on its device; only the shape, behind the first size, and the dtype count, as the file of a program
    holds what it was traced with.  Raises InputError for a network that torch.export cannot follow."""
    traced = example.new_zeros(2, *example.shape[1:])
    with _one_line(network, "followed by torch.export"):
        graph = torch.export.export(network.eval(), (traced,), dynamic_shapes=({0: torch.export.Dim(BATCH)},))
    for node in graph.graph.nodes:
        node.meta.pop("stack_trace", None)  # lines of the network's source, with their paths
    return graph


def pt2(graph: ExportedProgram, about: Mapping[str, Any]) -> bytes:
    """The content of a .pt2 file, which torch.export.load reads; `about` lies in it as the extra file sparsify.json."""
    content = io.BytesIO()
    with _one_line(graph, "saved as .pt2"):
        torch.export.save(graph, content, extra_files={f"{ABOUT}.json": json.dumps(about)})
    return content.getvalue()


def run_pt2(content: bytes) -> nn.Module:
    return torch.export.load(io.BytesIO(content)).module()


def onnx(graph: ExportedProgram, about: Mapping[str, Any]) -> bytes:
    """The content of an ONNX file: an input "input" of N examples, an output "logits", and `about` as JSON in its metadata."""
    with _one_line(graph, "exported as ONNX"):
        exported = torch.onnx.export(graph, (), dynamo=True, verbose=False, input_names=[INPUT], output_names=[OUTPUT])
        assert exported is not None
        model = exported.model_proto
        parts = model.graph
        del parts.value_info[:]  # shapes between the layers, which no longer hold once the weights are quantised
        for part in (*parts.node, *parts.initializer, *parts.input, *parts.output):
            del part.metadata_props[:]  # lines of the network's source, with their paths
            part.ClearField("doc_string")
        for value in (*parts.input, *parts.output):
            batch = value.type.tensor_type.shape.dim[0]
            if batch.dim_param:
                batch.dim_param = BATCH
        model.metadata_props.add(key=ABOUT, value=json.dumps(about))
        return model.SerializeToString(deterministic=True)


def int8(content: bytes, calibration: Iterable[Tensor]) -> bytes:
    """An ONNX file's content with weights (by channel) and activations in int8, as pairs of QuantizeLinear and DequantizeLinear.

    calibration: batches of inputs, whose activations give the ranges."""
    import onnx as package
    from onnxruntime.quantization import QuantFormat, quantize_static

    class Reader:  # a CalibrationDataReader by its method
        def __init__(self) -> None:
            self.batches = iter(calibration)

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch.numpy()}

    model = package.load_model_from_string(content)
    about = list(model.metadata_props)
    with _one_line(None, "quantised"), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_static(model, path, Reader(), quant_format=QuantFormat.QDQ, per_channel=True)
        small = package.load(path)
        del small.metadata_props[:]
        small.metadata_props.extend(about)
        return small.SerializeToString(deterministic=True)


class OnnxRuntime(nn.Module):
    """An ONNX file, run on the CPU.  Inputs as the file takes them -> logits (N, classes)

    threads: of one pass; they do not spin while they wait, so that those of one session do not take the cores from what else runs."""

    def __init__(self, file: Path | bytes, threads: int):
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        with _one_line(self, "made of this file"):
            self.session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.session.run(None, {self.input: x.numpy()})[0])


@torch.inference_mode()
def logits(network: nn.Module, batches: Iterable[Tensor]) -> Tensor:
    """-> (N, classes)"""
    with _one_line(network, "run"):
        return torch.cat([network(batch) for batch in batches])


@contextmanager
def _one_line(what: Any, done: str) -> Iterator[None]:
    """Makes of whatever is raised inside an InputError of one line: these packages raise errors of many kinds. They also say much."""
    said = io.StringIO()
    try:
        with warnings.catch_warnings(), redirect_stdout(said), redirect_stderr(said):
            warnings.simplefilter("ignore")
            logging.disable(logging.ERROR)
            yield
    except Exception as error:
        name = type(what).__name__ if isinstance(what, nn.Module) else "the network"
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        raise InputError(f"{name} cannot be {done} ({type(error).__name__}: {reason[:200]})") from None
    finally:
        logging.disable(logging.NOTSET)
