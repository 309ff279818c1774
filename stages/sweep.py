"""The classic experiment, without a prior: the smallest weights or units of the baseline go, then what is left is retrained.

Each share is measured before and after the retraining (recovery). Units are physically removed, and the test set is timed."""

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean, median, stdev
from typing import Literal, NotRequired, TypedDict

import torch
from torch import Tensor, nn
from tqdm import tqdm

from sparsify import artifacts, checkpoint, data
from sparsify.compress import magnitude
from sparsify.compress.recovery import Recovery
from sparsify.compress.remove import remove, settled
from sparsify.measure.accuracy import accuracy_percent
from sparsify.measure.latency import latencies_ms
from sparsify.measure.size import size
from sparsify.structure import Structure
from stages import networks, runtime
from stages.params import Params
from stages.recovery import recovery_of

METHODS, PHASES = ("weights", "units"), ("pruned", "recovered")
REPORTED = ("share", "accuracy", "accuracy_std", "hidden_left", "nonzeros_left", "macs_left", "speedup")
BATCH_SIZE = 1000  # of the series that the test set is timed in
TIMED_VALUES = 1 << 27  # of the test set at most, half a gigabyte: all of the named data sets


class Row(TypedDict):
    """A line of plots/sweep.csv."""

    method: str
    share: float
    recovered: int
    seed: int | str  # of the retraining; "" before it
    accuracy: float
    validation_accuracy: float
    hidden_left: int
    weights_left: int
    nonzeros_left: int
    macs_left: int
    latency_ms: NotRequired[float | str]  # of units, the others are ""; once it is measured
    speedup: NotRequired[float | str]
    accuracy_std: NotRequired[float]  # of a mean over the seeds


class Series(nn.Module):
    """A network that answers many images batch by batch."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([self.network(batch) for batch in images.split(BATCH_SIZE)])


def sweep(params: Params) -> None:
    state = runtime.training_state("sweep", params, runtime.DATASET, runtime.BASELINE, Path(params.finetune.teacher))
    dataset = data.load(runtime.DATASET, runtime.device())
    dense = networks.load(runtime.BASELINE, networks.architecture(params, dataset))
    example = networks.example(dataset)
    structure = settled(dense, example)
    cut = {(method, share): network for method in METHODS for share, network in _pruned(dense, structure, example, method, params)}
    recovery = recovery_of(params, dense, dataset, params.sweep.train)
    rows: list[Row] = []
    with checkpoint.Results(state) as done:
        for (method, share), network in tqdm(cut.items(), desc="sweep", unit=" points", disable=None):
            rows += _point(network, structure, recovery, method, share, dataset, params, done)

    provenance = runtime.provenance(params.seed)  # before the threads change, which are those of the timing alone
    threads = runtime.threads(params.benchmark.threads[0])
    torch.set_num_threads(threads)
    units = {f"{share}": Series(network) for (method, share), network in cut.items() if method == "units"}
    times = latencies_ms({"dense": Series(dense), **units}, _timed(dataset.test), params.sweep.timing_repeats)
    for row in rows:  # retraining does not change a network's time; and zeros among the weights are multiplied like all others
        own = times[f"{row['share']}"] if row["method"] == "units" else []
        row["latency_ms"] = median(own) if own else ""
        row["speedup"] = median(before / after for before, after in zip(times["dense"], own, strict=True)) if own else ""

    before = size(dense, structure, example)
    of_dense = {"accuracy": accuracy_percent(dense, dataset.test), "validation_accuracy": accuracy_percent(dense, dataset.validation)}
    artifacts.write_csv(runtime.PLOTS / "sweep.csv", rows)
    artifacts.write_csv(runtime.PLOTS / "sweep_mean.csv", _means(rows))
    artifacts.write_json(runtime.METRICS / "sweep.json", {"sweep": {
        "dense": {**of_dense, "hidden": sum(before.hidden.values()), "weights": sum(before.weights.values()), "macs": before.macs,
                  "latency_ms": median(times["dense"])},
        **{method: {phase: _reach(_curve(rows, method, recovered), of_dense, params.sweep.max_accuracy_drop)
                    for recovered, phase in enumerate(PHASES)} for method in METHODS},
        "seeds": len(params.sweep.seeds),
        "seconds": round(done.seconds, 1),
        "timing_threads": threads,
        **provenance}})
    state.unlink(missing_ok=True)


def _pruned(dense: nn.Module, structure: Structure, example: Tensor, method: str, params: Params) -> Iterator[tuple[float, nn.Module]]:
    """(share, network): with zeros for the weights that went, without the units that went.

    Units go by stream: norms over different numbers of weights do not compare, and one of few inputs would lose all its units."""
    for share in params.sweep.shares:
        if method == "weights":
            kept = magnitude.smallest_removed(magnitude.weight_scores(dense, structure), share, params.sweep.weight_scope)
            yield share, magnitude.zeroed(dense, kept)
        else:
            kept = magnitude.smallest_removed(magnitude.unit_scores(dense, structure), share, "layer")
            yield share, remove(dense, example, kept, structure=structure)[0]


def _point(network: nn.Module, structure: Structure, recovery: Recovery, method: str, share: float, dataset: data.Dataset,
           params: Params, done: checkpoint.Results) -> Iterator[Row]:
    """A row for the pruned network, and one for each seed that it is retrained with; all start from the same weights, with the same
    teacher as the Bayesian nets.

    The units are gone before the retraining, and so it runs on the small network. That is retraining with the masks held: a silent
    unit answers zero and is read with zero weights, so that no gradient reaches it or comes out of it, and zeros stay zeros under
    weight decay. tests/compress/test_magnitude.py compares the two."""
    steps = {"weights": params.sweep.weight_steps, "units": params.sweep.unit_steps}[method]
    yield _row(network, structure, method, share, dataset, recovered=0, seed="")

    def retrained(seed: int) -> Row:
        trained = copy.deepcopy(network)
        replace(recovery, seed=seed)(trained, f"{method}, seed {seed}", total_steps=steps)
        return _row(trained, structure, method, share, dataset, recovered=1, seed=seed)

    for seed in params.sweep.seeds:
        yield done.get(f"{method} {share} {seed}", partial(retrained, seed))


def _timed(test: data.Split) -> Tensor:
    return test[:max(1, TIMED_VALUES // math.prod(test.shape))]


def _row(network: nn.Module, structure: Structure, method: str, share: float, dataset: data.Dataset, recovered: int,
         seed: int | str) -> Row:
    left = size(network, structure, networks.example(dataset))
    return {"method": method, "share": share, "recovered": recovered, "seed": seed,
            "accuracy": accuracy_percent(network, dataset.test), "validation_accuracy": accuracy_percent(network, dataset.validation),
            "hidden_left": sum(left.hidden.values()), "weights_left": sum(left.weights.values()),
            "nonzeros_left": sum(left.nonzeros.values()), "macs_left": left.macs}


def _curve(rows: list[Row], method: str, recovered: int) -> list[Row]:
    """One row a share, with the mean over the seeds."""
    chosen = [row for row in rows if (row["method"], row["recovered"]) == (method, recovered)]
    curve: list[Row] = []
    for share in dict.fromkeys(row["share"] for row in chosen):
        group = [row for row in chosen if row["share"] == share]
        accuracies = [row["accuracy"] for row in group]
        curve.append({**group[0], "accuracy": mean(accuracies), "accuracy_std": stdev(accuracies) if len(group) > 1 else 0.0,
                      "validation_accuracy": mean(row["validation_accuracy"] for row in group)})
    return curve


def _means(rows: list[Row]) -> list[dict[str, float]]:
    """The curves side by side: one row a share."""
    curves = {f"{method}_{phase}": _curve(rows, method, recovered) for method in METHODS for recovered, phase in enumerate(PHASES)}
    return [{"share": points[0]["share"], **{name: point["accuracy"] for name, point in zip(curves, points, strict=True)}}
            for points in zip(*curves.values(), strict=True)]


def _reach(curve: list[Row], dense: Mapping[str, float], drop: float) -> dict[str, object]:
    """How far the plateau of the test curve reaches, which describes it; and the networks that validation would choose."""
    plateau = _largest(curve, "accuracy", dense["accuracy"] - drop)
    report: dict[str, object] = {"plateau_percent": plateau["share"] if plateau else None}
    for name, allowed in (("within_drop", drop), ("lossless", 0.0)):
        point = dict(_largest(curve, "validation_accuracy", dense["validation_accuracy"] - allowed) or {})
        report[name] = {key: point[key] for key in REPORTED if point.get(key, "") != ""}
    return report


def _largest(curve: list[Row], accuracy: Literal["accuracy", "validation_accuracy"], least: float) -> Row | None:
    """The point with the largest share whose `accuracy` is at least `least`, if there is one."""
    return max((point for point in curve if point[accuracy] >= least - 1e-9), key=lambda point: point["share"], default=None)


if __name__ == "__main__":
    runtime.main(sweep)
