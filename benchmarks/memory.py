"""What a training step of VGG-16 needs at most, on a CPU in float32: so many bytes a weight, and so many a value between its layers.

    python -m benchmarks.memory --threads 1

A value is one element of one image's output of a convolution or linear layer. The two numbers of each kind are fitted to all points, by
least squares of the relative error; `error` is the largest that is left. Each point is measured in a process of its own, as in
benchmarks/scaling.py."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks import report
from benchmarks.scaling import peak_mib
from benchmarks.training import INPUTS
from sparsify import models
from stages import runtime

MODEL = "vgg16"
KINDS = ("dense", "gate", "gaussian", "log_uniform")
POINTS = ((0.25, 16), (0.5, 16), (1.0, 4), (1.0, 16), (1.0, 64), (2.0, 4))  # width, images in a batch


def size(width: float, model: str = MODEL) -> tuple[int, int]:
    """The network's weights, and its values for one image."""
    network, values = models.build(model, INPUTS[model], 10, width).eval(), []
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in layers:
        layer.register_forward_hook(lambda _layer, _inputs, output: values.append(output.numel()))
    with torch.no_grad():
        network(torch.zeros(1, *INPUTS[model]))
    return sum(layer.weight.numel() for layer in layers), sum(values)


def fitted(rows: list[dict]) -> dict[str, float]:
    """bytes_a_weight, bytes_a_value and the largest relative error, of the rows of one kind."""
    peaks = np.array([row["peak_mib"] * 2**20 for row in rows])
    parts = np.array([[row["weights"], row["batch"] * row["values"]] for row in rows]) / peaks[:, None]
    solution = np.linalg.lstsq(parts, np.ones(len(rows)), rcond=None)[0]
    return {"bytes_a_weight": round(float(solution[0]), 1), "bytes_a_value": round(float(solution[1]), 1),
            "error": round(float(np.abs(parts @ solution - 1).max()), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--point", nargs=3, metavar=("WIDTH", "BATCH", "KIND"), help="print the peak of this one, and nothing else")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    runtime.keep_freed_memory()
    if torch.cuda.is_available():
        sys.exit("error: this measures the memory of a CPU; hide the GPU with CUDA_VISIBLE_DEVICES=")
    if arguments.point:
        width, batch, kind = arguments.point
        print(json.dumps(peak_mib(float(width), int(batch), kind, MODEL)))
        return
    about, rows = report.provenance(threads=arguments.threads), []
    for kind in KINDS:
        for width, batch in POINTS:
            command = [sys.executable, "-m", "benchmarks.memory", "--threads", str(arguments.threads),
                       "--point", str(width), str(batch), kind]
            said = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1]).stdout
            weights, values = size(width)
            rows.append({"model": MODEL, "step": kind, "width": width, "batch": batch, "weights": weights, "values": values,
                         "peak_mib": round(json.loads(said.splitlines()[-1]), 1)})
            print(rows[-1], flush=True)
    about["fit"] = {kind: fitted([row for row in rows if row["step"] == kind]) for kind in KINDS}
    print(about, report.table(rows), sep="\n")
    report.write(f"memory-{MODEL}", about, rows)


if __name__ == "__main__":
    main()
