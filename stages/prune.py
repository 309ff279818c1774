"""Removal: masks from the posterior, dead units physically taken out, and fine-tuning of the small network that is left."""

import time

import torch
from torch import nn

from sparsify import artifacts, checkpoint, data, distributed, models
from sparsify.bayes.convert import bake, bayesianize, log_alphas
from sparsify.bayes.priors import PriorSettings
from sparsify.compress import masks
from sparsify.compress.compact import compact
from sparsify.compress.threshold import candidates, finer, scan, within_budget
from sparsify.measure.accuracy import accuracy_percent, largest_logit_gap, quality
from sparsify.measure.size import Size, reduction, size
from sparsify.settings import InputError, build
from sparsify.training import answers
from stages import runtime
from stages.params import Params
from stages.recovery import recover

SCAN_POINTS, FINER_POINTS = 40, 12


def prune(params: Params) -> None:
    state = runtime.training_state("prune", params, runtime.DATASET, runtime.BASELINE, runtime.BAYESIAN)
    start = time.perf_counter() - checkpoint.seconds(state)
    dataset = data.load(runtime.DATASET, runtime.device())
    mean, scores = _posterior()
    dense = artifacts.load_model(runtime.BASELINE, models.describe(mean)).to(runtime.device())
    before = size(dense, dataset.input_shape)

    def measure(masked: nn.Sequential) -> dict[str, float]:
        small = compact(masked, params.prune.inputs)
        left = reduction(before, size(small, dataset.input_shape))
        return {"hidden_removed_percent": left["hidden_removed_percent"],
                "weights_removed_percent": 100 - 100 / left["compression_nonzeros"],
                "validation_accuracy": accuracy_percent(small, dataset.validation)}

    thresholds = candidates(scores, SCAN_POINTS)
    rows = scan(mean, scores, thresholds, measure)
    threshold = params.prune.threshold
    if threshold is None:
        least = rows[0]["validation_accuracy"] - params.prune.max_accuracy_drop
        chosen = within_budget(rows, "weights_removed_percent", "validation_accuracy", least)
        rows += scan(mean, scores, finer(scores, thresholds, chosen["threshold"], FINER_POINTS), measure)[1:]
        threshold = within_budget(rows, "weights_removed_percent", "validation_accuracy", least)["threshold"]
        rows.sort(key=lambda row: -row["threshold"])
    threshold = distributed.same(threshold)  # all have to cut alike, whatever a GPU's sums came to
    masked = masks.apply(mean, masks.from_scores(scores, threshold))
    small = compact(masked, params.prune.inputs)
    gap = _check_logits(masked, small, dataset.test)
    accuracy_compact = accuracy_percent(small, dataset.test)

    teacher = answers(dense, dataset.train.images, params.finetune.train.augment)
    curve = recover(small, teacher, dataset, params.finetune, params.finetune.train, params.seed, "fine-tuning", state=state)
    if not distributed.first():
        return

    after = size(small, dataset.input_shape)
    artifacts.save_model(runtime.COMPACT, small)
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


def _posterior() -> tuple[nn.Sequential, dict[str, torch.Tensor]]:
    """The posterior-mean network, and how irrelevant its weights are."""
    plain, prior, state = artifacts.load_bayesian(runtime.BAYESIAN)
    inputs = prior.pop("inputs")
    model = bayesianize(plain, build(PriorSettings, prior, f"{runtime.BAYESIAN}: prior"), inputs)
    artifacts.load_state(runtime.BAYESIAN, model, state)
    model = model.to(runtime.device()).eval()
    return bake(model), log_alphas(model)


def _check_logits(masked: nn.Sequential, small: nn.Sequential, test: data.Split) -> float:
    """The largest gap between their logits, as a share of the largest logit: float32 sums in another order, and nothing more."""
    normalised = any(isinstance(layer, nn.BatchNorm2d) for layer in masked.children())  # which divides by what may be small
    gap, allowed = largest_logit_gap(masked, small, test.images), 1e-4 if normalised else 1e-5
    if gap > allowed:
        raise InputError(f"the compact network's logits differ from the masked one's by {gap:.2g} of the largest logit, {allowed:.0e} is "
                         "allowed; this is a defect of the removal: please report it with your params.yaml")
    return gap


def _units(before: Size, after: Size) -> list[dict[str, str | int]]:
    return [{"layer": "input", "total": before.inputs, "kept": after.inputs},
            *({"layer": name, "total": total, "kept": after.hidden[name]} for name, total in before.hidden.items())]


if __name__ == "__main__":
    runtime.main(prune)
