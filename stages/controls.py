"""Is it the prior, or only the architecture? Two other ways to a network of the size that the prior found.

magnitude: the same dense network, cut to that size by magnitude, with the same recovery;
scratch: that very network, its weights drawn anew, in recovery's setting for as many epochs as the whole Bayesian path took."""

import time
from dataclasses import replace

from torch import nn

from sparsify import artifacts, checkpoint, data, distributed
from sparsify.compress import magnitude, masks
from sparsify.compress.compact import compact
from sparsify.measure.accuracy import accuracy_percent, quality
from sparsify.measure.size import reduction, size
from sparsify.training import answers
from stages import runtime
from stages.params import Params
from stages.recovery import path_epochs, recover


def controls(params: Params) -> None:
    dataset = data.load(runtime.DATASET, runtime.device())
    dense, small = (artifacts.load_model(path).to(runtime.device()) for path in (runtime.BASELINE, runtime.COMPACT))
    teacher = answers(dense, dataset.train.images, params.finetune.train.augment)
    ways = {"magnitude": (lambda: _cut(dense, small, params.prune.inputs), params.finetune.train.epochs),
            "scratch": (lambda: masks.drawn_anew(small), path_epochs(params))}

    figures, states = {}, {}
    for method in params.controls.methods:
        state = states[method] = runtime.training_state(method, params, runtime.DATASET, runtime.BASELINE, runtime.COMPACT)
        start = time.perf_counter() - checkpoint.seconds(state)
        runtime.seed_everything(params.seed)
        make, epochs = ways[method]
        network = make()
        recover(network, teacher, dataset, params.finetune, replace(params.finetune.train, epochs=epochs), params.seed,
                method, state=state)
        figures[method] = {
            **quality(network, dataset.test),
            "validation_accuracy": accuracy_percent(network, dataset.validation),
            **reduction(size(dense, dataset.input_shape), size(network, dataset.input_shape)),
            "epochs": epochs,
            "seconds": round(time.perf_counter() - start, 1)}
    if not distributed.first():
        return
    artifacts.write_json(runtime.METRICS / "controls.json", {"controls": {**figures, **runtime.provenance(params.seed)}})
    for state in states.values():
        state.unlink(missing_ok=True)


def _cut(dense: nn.Sequential, small: nn.Sequential, inputs: bool) -> nn.Sequential:
    return compact(masks.apply(dense, magnitude.like(dense, small)), inputs)


if __name__ == "__main__":
    runtime.main(controls)
