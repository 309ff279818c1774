"""The dense network that everything else is measured against."""

import time

from sparsify import artifacts, checkpoint, data, distributed
from sparsify.compress import store
from sparsify.measure.accuracy import accuracy_percent, quality
from sparsify.training import cross_entropy, fit
from stages import networks, runtime
from stages.params import Params


def train_baseline(params: Params) -> None:
    state = runtime.training_state("baseline", params, runtime.DATASET)
    start = time.perf_counter() - checkpoint.seconds(state)
    runtime.seed_everything(params.seed)
    dataset = data.load(runtime.DATASET, runtime.device())
    architecture = networks.architecture(params, dataset)
    model = networks.dense(params, architecture)

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


if __name__ == "__main__":
    runtime.main(train_baseline)
