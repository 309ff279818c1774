"""Dense and compact as files that run without this project, checked on the whole test set against the networks that they come from.

models/export/ gets dense.onnx, dense-int8.onnx, dense.pt2, and the same of compact. What cannot be made is left out, with one line."""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from torch.export import ExportedProgram
from tqdm import tqdm

from sparsify import artifacts, data, export
from sparsify.compress import store
from sparsify.data import Split
from sparsify.measure.accuracy import largest_gap, right_percent
from sparsify.settings import InputError
from stages import networks, runtime
from stages.params import Params

PATHS = {"dense": runtime.BASELINE, "compact": runtime.COMPACT}
TOLERANCE = 1e-4  # of the largest logit: how far float32 may differ from torch's
CALIBRATION_BATCH = 32

Figures = dict[str, float | int]


def export_networks(params: Params) -> None:
    start = time.perf_counter()
    absent = export.missing()
    if absent:
        print(f"{', '.join(absent)} not installed: no ONNX files; pip install {' '.join(absent)} adds them", file=sys.stderr)
    dataset = data.load(runtime.DATASET)
    architecture, scaling = networks.architecture(params, dataset), dataset.scaling
    inside = params.export.normalise and scaling is not None
    validation, test = (replace(split, scaling=None) if inside else split for split in (dataset.validation, dataset.test))
    report: dict[str, dict[str, Figures]] = {}
    loaded = {name: networks.load(path, architecture).cpu() for name, path in PATHS.items()}
    runtime.EXPORT.mkdir(parents=True, exist_ok=True)
    for name, plain in tqdm(loaded.items(), desc="export", unit=" networks", disable=None):
        network = export.Normalised(plain, scaling.mean, scaling.std, scaling.unit) if inside and scaling else plain
        about = {"network": name, "takes": "inputs as stored" if inside else "normalised inputs",
                 "data": store.header(PATHS[name])["data"]}
        report[name] = _files(name, network, validation, test, about, params.export.calibration, onnx=not absent)
    artifacts.write_json(runtime.METRICS / "export.json", {"export": {
        **report, "normalise": inside, "seconds": round(time.perf_counter() - start, 1), **runtime.provenance(params.seed)}})


def _files(name: str, network: nn.Module, validation: Split, test: Split, about: dict[str, object], calibration: int,
           onnx: bool) -> dict[str, Figures]:
    """Writes the files of one network, and says by kind what each is worth. validation, test: as the network takes them"""
    figures: dict[str, Figures] = {}
    for kind in ("pt2", "onnx", "int8"):  # what is not made this time must not pass for new
        runtime.exported(name, kind).unlink(missing_ok=True)
    graph: ExportedProgram | None = None
    expected = export.logits(network, test.in_order())

    def tried(kind: str, made: Callable[[], bytes], run: Callable[[bytes], nn.Module], exact: bool = True) -> bytes | None:
        path = runtime.exported(name, kind)
        try:
            content = made()
            running = run(content)
            found, judged = (export.logits(running, split.in_order()) for split in (test, validation))
            gap = largest_gap(expected, found)
            if exact and not gap <= TOLERANCE:
                raise InputError(f"its logits differ from the network's by {gap:.2g} of the largest, more than {TOLERANCE:g}")
        except InputError as error:
            tqdm.write(f"{path} is left out: {error}", file=sys.stderr)
            return None
        artifacts.write_bytes(path, content)
        figures[kind] = {"accuracy": right_percent(found, test.labels), "validation_accuracy": right_percent(judged, validation.labels),
                         "nll": F.cross_entropy(found, test.labels).item(), "bytes": len(content),
                         **({"largest_gap": gap} if exact else {})}
        return content

    def followed() -> ExportedProgram:
        """Made once, by the first that needs it."""
        nonlocal graph
        graph = graph or export.program(network, validation[:1])
        return graph

    session = partial(export.OnnxRuntime, threads=torch.get_num_threads())
    tried("pt2", lambda: export.pt2(followed(), about), export.run_pt2)
    plain = tried("onnx", lambda: export.onnx(followed(), about), session) if onnx else None
    if plain is not None:
        batches = validation[:calibration].split(CALIBRATION_BATCH)
        tried("int8", lambda: export.int8(plain, batches), session, exact=False)
    return figures


if __name__ == "__main__":
    runtime.main(export_networks)
