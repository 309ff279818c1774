"""Is it the prior, or only the architecture? Two other ways to a network of the size that the prior found.

magnitude: the same dense network, cut to that size by magnitude, with the same recovery;
scratch: that very network, its weights drawn anew, in recovery's setting for as many epochs as the whole Bayesian path took."""

import time
from pathlib import Path

import torch
from torch import Tensor, nn

from sparsify import artifacts, checkpoint, data, distributed
from sparsify.compress import magnitude, masks
from sparsify.compress.cut import cut_of, sliced
from sparsify.compress.remove import remove, settled
from sparsify.measure.accuracy import accuracy_percent, quality
from sparsify.measure.size import reduction, size
from sparsify.models import Architecture
from sparsify.structure import Structure
from stages import inputs as inputs_of
from stages import networks, runtime
from stages.params import Params
from stages.recovery import recovery_of


def controls(params: Params) -> None:
    dataset = data.load(runtime.DATASET, runtime.device())
    architecture = networks.architecture(params, dataset)
    dense, small = (networks.load(path, architecture) for path in (runtime.BASELINE, runtime.COMPACT))
    example = networks.example(dataset)
    structure = settled(dense, example)
    recovery = recovery_of(params, dense, dataset)
    inputs = inputs_of.may_leave(params, dense, structure)
    ways = {"magnitude": (lambda: _cut(dense, small, structure, example, inputs), params.finetune.train.epochs),
            "scratch": (lambda: _from_scratch(small, architecture), params.path_epochs)}

    figures, states = {}, {}
    for method in params.controls.methods:
        state = states[method] = runtime.training_state(method, params, runtime.DATASET, runtime.BASELINE, runtime.COMPACT,
                                                         Path(params.finetune.teacher))
        start = time.perf_counter() - checkpoint.seconds(state)
        runtime.seed_everything(params.seed)
        make, epochs = ways[method]
        network = make()
        recovery(network, method, epochs, state=state)
        figures[method] = {
            **quality(network, dataset.test),
            "validation_accuracy": accuracy_percent(network, dataset.validation),
            **reduction(size(dense, structure, example), size(network, structure, example)),
            "epochs": epochs,
            "seconds": round(time.perf_counter() - start, 1)}
    if not distributed.first():
        return
    artifacts.write_json(runtime.METRICS / "controls.json", {"controls": {**figures, **runtime.provenance(params.seed)}})
    for state in states.values():
        state.unlink(missing_ok=True)


def _from_scratch(small: nn.Module, architecture: Architecture) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # what the network's own code draws moves no other draw
        fresh = sliced(architecture.build(), cut_of(small))
    return masks.drawn_anew(small, fresh)


def _cut(dense: nn.Module, small: nn.Module, structure: Structure, example: Tensor, inputs: bool) -> nn.Module:
    keep, weights = magnitude.like(dense, structure, small)
    return remove(dense, example, keep, weights=weights, inputs=inputs, structure=structure)[0]


if __name__ == "__main__":
    runtime.main(controls)
