"""The dense network that everything else is measured against."""

import time
from pathlib import Path

from torch import nn

from sparsify import artifacts, checkpoint, data, distributed
from sparsify.compress import store
from sparsify.losses import cross_entropy
from sparsify.measure.accuracy import accuracy_percent, quality
from sparsify.models import Architecture, weights
from sparsify.training import fit
from stages import networks, runtime
from stages.params import Params


def train_baseline(params: Params) -> None:
    state = runtime.training_state("baseline", params, runtime.DATASET)
    start = time.perf_counter() - checkpoint.seconds(state)
    runtime.seed_everything(params.seed)
    dataset = data.load(runtime.DATASET, runtime.device())
    architecture = networks.architecture(params, dataset)
    model = _made(params, architecture)

    curve = fit(model, dataset.train, cross_entropy(model, params.baseline), params.baseline,
                lambda: {"validation_accuracy": accuracy_percent(model, dataset.validation)}, "baseline",
                state=state)
    if not distributed.first():
        return

    store.save(model, runtime.BASELINE, architecture=architecture, data=networks.description(dataset), **networks.provenance(params))
    artifacts.write_csv(runtime.PLOTS / "baseline_curve.csv", curve)
    artifacts.write_json(runtime.METRICS / "baseline.json", {"baseline": {
        **quality(model, dataset.test),
        "validation_accuracy": accuracy_percent(model, dataset.validation),
        "seconds": round(time.perf_counter() - start, 1),
        **runtime.provenance(params.seed)}})
    state.unlink(missing_ok=True)


def _made(params: Params, architecture: Architecture) -> nn.Module:
    """The network to train, on the device: with fresh weights, or those of model.weights."""
    network = architecture.build()
    if not architecture.known:
        runtime.say_unwatched("model.path", params.model.path, params.model.name)
    if params.model.weights is not None:
        fresh = weights.load(network, Path(params.model.weights), architecture.n_classes)
        if fresh and distributed.first():
            print(f"{params.model.weights} is of other classes: {', '.join(fresh)} are drawn anew for the {architecture.n_classes} here")
    return network.to(runtime.device())


if __name__ == "__main__":
    runtime.main(train_baseline)
