"""Removal: masks from the posterior, dead units physically taken out, and fine-tuning of the small network that is left."""

import time
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from sparsify import artifacts, checkpoint, data, distributed
from sparsify.bayes.convert import bake, log_alphas
from sparsify.bayes.priors import Target
from sparsify.compaction import relevant
from sparsify.compress import store
from sparsify.compress.masks import mask
from sparsify.compress.remove import draft, remove
from sparsify.compress.threshold import candidates, finer, largest_within, scan, within_budget
from sparsify.measure.accuracy import accuracy_percent, largest_logit_gap, quality
from sparsify.measure.size import Size, counted, hidden, nonzeros, reduction, removed_percent, size, total
from sparsify.structure import analyse
from sparsify.training import answers
from stages import inputs as inputs_of
from stages import networks, runtime, twins
from stages.params import Params
from stages.recovery import recover

SCAN_POINTS, FINER_POINTS = 40, 12
LEAST = 1  # unit of a stream stays: in a residual network whole layers may be irrelevant, and the rest goes on without them


def prune(params: Params) -> None:
    state = runtime.training_state("prune", params, runtime.DATASET, runtime.BASELINE, runtime.BAYESIAN)
    start = time.perf_counter() - checkpoint.seconds(state)
    dataset = data.load(runtime.DATASET, runtime.device())
    example = networks.example(dataset)
    architecture = networks.architecture(params, dataset)
    dense = networks.load(runtime.BASELINE, architecture)
    structure = analyse(dense, example)
    before, inputs = size(dense, structure, example), inputs_of.may_leave(params, dense, structure)
    twin = twins.load(runtime.BAYESIAN, example, architecture, structure)
    mean, scores = bake(twin), log_alphas(twin)

    def cut_at(threshold: float) -> nn.Module:
        return draft(mean, structure, *relevant(scores, threshold, LEAST), inputs=inputs)

    def measure(small: nn.Module) -> dict[str, float]:
        return {"hidden_removed_percent": removed_percent(total(before.hidden), total(hidden(small, structure))),
                "weights_removed_percent": removed_percent(total(before.weights), total(nonzeros(small, structure))),
                "validation_accuracy": accuracy_percent(small, dataset.validation)}

    irrelevance = {**scores.units, **scores.weights}
    thresholds = candidates(irrelevance, SCAN_POINTS)
    rows = scan(cut_at, thresholds, measure)
    threshold = params.prune.threshold
    if threshold is None and params.prune.target.given():
        threshold = _exactly(params.prune.target, irrelevance, lambda at: size(cut_at(at), structure, example), before)
    elif threshold is None:
        least = rows[0]["validation_accuracy"] - params.prune.max_accuracy_drop
        chosen = within_budget(rows, "weights_removed_percent", "validation_accuracy", least)
        rows += scan(cut_at, finer(irrelevance, thresholds, chosen["threshold"], FINER_POINTS), measure)[1:]
        threshold = within_budget(rows, "weights_removed_percent", "validation_accuracy", least)["threshold"]
        rows.sort(key=lambda row: -row["threshold"])
    threshold = distributed.same(threshold)  # all have to cut alike, whatever a GPU's sums came to
    keep, weights = relevant(scores, threshold, LEAST)
    small, report = remove(mean, example, keep, weights=weights, inputs=inputs, structure=structure)
    masked = mask(mean, example, keep, weights=weights, inputs=inputs, structure=structure)
    gap = largest_logit_gap(masked, small, dataset.test)
    accuracy_compact = accuracy_percent(small, dataset.test)
    if distributed.first():
        print(report)

    teacher = answers(dense, dataset.train, params.finetune.train.augment)
    curve = recover(small, teacher, dataset, params.finetune, params.finetune.train, params.seed, "fine-tuning", state=state)
    if not distributed.first():
        return

    after = size(small, structure, example)
    store.save(small, runtime.COMPACT, architecture=architecture, data=networks.description(dataset), **networks.provenance(params),
               removal=report.as_data())
    artifacts.write_csv(runtime.PLOTS / "threshold_scan.csv", rows)
    artifacts.write_csv(runtime.PLOTS / "finetune_curve.csv", curve)
    artifacts.write_csv(runtime.PLOTS / "units.csv", _units(before, after))
    artifacts.write_json(runtime.METRICS / "prune.json", {"prune": {
        "threshold": threshold,
        "accuracy_compact": accuracy_compact,
        **{f"{key}_finetuned": value for key, value in quality(small, dataset.test).items()},
        "validation_accuracy_finetuned": accuracy_percent(small, dataset.validation),
        **reduction(before, after),
        "logit_gap": gap,
        "seconds": round(time.perf_counter() - start, 1),
        **runtime.provenance(params.seed)}})
    state.unlink(missing_ok=True)


def _exactly(target: Target, irrelevance: Mapping[str, Tensor], left: Callable[[float], Size], before: Size) -> float:
    """The threshold that leaves the most of those that leave no more than the target."""
    (by, value), = target.given().items()
    most = value * counted(before, by) if value < 1 else value
    return largest_within(irrelevance, lambda threshold: counted(left(threshold), by), most, by)


def _units(before: Size, after: Size) -> list[dict[str, str | int]]:
    counts = [("input", before.inputs, after.inputs), *((name, total, after.hidden[name]) for name, total in before.hidden.items())]
    return [{"layer": name, "total": total, "kept": kept} for name, total, kept in counts]


if __name__ == "__main__":
    runtime.main(prune)
