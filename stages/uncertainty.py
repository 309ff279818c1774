"""How far each network's confidence can be trusted, on the test set: dense, Bayesian (its mean, and sampled), and compact."""

import sys
import time
from functools import partial
from importlib.util import find_spec

from sparsify import artifacts, data
from sparsify.bayes.sampling import sampling
from sparsify.measure.accuracy import predict
from sparsify.measure.uncertainty import REJECTED, accuracy_by_rejection, mean_of_passes, scores
from stages import networks, runtime, twins
from stages.params import Params


def uncertainty(params: Params) -> None:
    start = time.perf_counter()
    calibration = find_spec("torchmetrics") is not None
    if not calibration:
        print("torchmetrics is not installed: no calibration error; pip install torchmetrics adds it", file=sys.stderr)
    dataset = data.load(runtime.DATASET, runtime.device())
    test, labels = dataset.test, dataset.test.labels
    architecture = networks.architecture(params, dataset)
    twin = twins.load(runtime.BAYESIAN, networks.example(dataset), architecture)
    asked_once = {"dense": networks.load(runtime.BASELINE, architecture), "bayesian_mean": twin,
                  "compact": networks.load(runtime.COMPACT, architecture)}
    answers = {name: mean_of_passes(partial(predict, network, test), 1) for name, network in asked_once.items()}
    runtime.seed_everything(params.seed)
    with sampling(twin):
        answers["bayesian_samples"] = mean_of_passes(partial(predict, twin, test), params.uncertainty.samples)
    curves = {name: accuracy_by_rejection(found, labels) for name, found in answers.items()}
    artifacts.write_csv(runtime.PLOTS / "rejection.csv", [
        {"rejected_percent": share, **{name: curve[row] for name, curve in curves.items()}} for row, share in enumerate(REJECTED)])
    artifacts.write_json(runtime.METRICS / "uncertainty.json", {"uncertainty": {
        **{name: scores(found, labels, calibration) for name, found in answers.items()},
        "samples": params.uncertainty.samples,
        "seconds": round(time.perf_counter() - start, 1),
        **runtime.provenance(params.seed)}})


if __name__ == "__main__":
    runtime.main(uncertainty)
