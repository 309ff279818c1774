"""Removal: masks from the posterior, dead units physically taken out, and fine-tuning of the small network that is left."""

import time
from pathlib import Path

from torch import nn

from sparsify import artifacts, checkpoint, compaction, data, distributed
from sparsify.bayes.convert import bake
from sparsify.budget import forget, kept, search, spent
from sparsify.compress import store
from sparsify.compress.remove import remove, settled
from sparsify.cuts import Cuts
from sparsify.measure.accuracy import accuracy_percent, largest_logit_gap, quality
from sparsify.measure.size import Size, reduction, size
from stages import inputs as inputs_of
from stages import networks, runtime, twins
from stages.params import Params
from stages.recovery import recovery_of


def prune(params: Params) -> None:
    inputs_of_state = runtime.DATASET, runtime.BASELINE, runtime.BAYESIAN, Path(params.finetune.teacher)
    state, trials = (runtime.training_state(name, params, *inputs_of_state) for name in ("prune", "trials"))
    known = checkpoint.Results(state.with_suffix(".scan"), distributed.first())
    start = time.perf_counter() - known.seconds - spent(trials) - checkpoint.seconds(state)
    dataset = data.load(runtime.DATASET, runtime.device())
    example = networks.example(dataset)
    architecture = networks.architecture(params, dataset)
    dense = networks.load(runtime.BASELINE, architecture)
    structure = settled(dense, example)
    before, inputs = size(dense, structure, example), inputs_of.may_leave(params, dense, structure)
    twin = twins.load(runtime.BAYESIAN, example, architecture, structure)
    cuts = Cuts(bake(twin), compaction.scores(twin, structure, params.prune.order), structure, example, inputs,
                before=before if params.bayesian.from_baseline else None)

    recovery, final_drop, budget = recovery_of(params, dense, dataset), params.prune.max_final_drop, {}

    def accuracy(network: nn.Module) -> float:
        return known.get(network, lambda: accuracy_percent(network, dataset.validation))

    threshold = params.prune.threshold
    if final_drop is None and params.prune.target.given():
        threshold = cuts.exactly(params.prune.target)
    if threshold is not None:
        cuts.at(threshold)  # refused, where it is, before anything is measured
    with known:
        rows, accuracy_dense = cuts.scanned(accuracy), accuracy(dense)
        if final_drop is None and threshold is None:
            threshold, rows = cuts.within_drop(rows, rows[0]["validation_accuracy"] - params.prune.max_accuracy_drop, accuracy)
    if final_drop is not None:
        epochs = params.prune.trial_epochs or params.finetune.train.epochs
        threshold, tried = search(cuts, accuracy_dense, final_drop, recovery, epochs, trials)
        budget = {"max_final_drop": final_drop, "trials": len(tried)}
    if threshold is None:  # nothing smaller keeps the accuracy: the dense network stays
        small, report = remove(dense, example, structure=structure)
    else:
        small, report = cuts.cut(threshold)
    gap = largest_logit_gap(dense if threshold is None else cuts.masked(threshold), small, dataset.test)
    accuracy_compact = accuracy_percent(small, dataset.test)
    if distributed.first():
        print(report)

    if threshold is None:
        curve = [{"epoch": 0, "nll": quality(small, dataset.train)["nll"], "validation_accuracy": accuracy_dense, "seconds": 0.0}]
    else:
        curve = recovery(small, "fine-tuning", state=state)
    if not distributed.first():
        return

    validation = accuracy_percent(small, dataset.validation)
    if final_drop is not None:
        budget["final_drop"] = accuracy_dense - validation
        print(kept(budget["final_drop"], final_drop))
    after = size(small, structure, example)
    store.save(small, runtime.COMPACT, architecture=architecture, data=networks.description(dataset), gap=report.gap,
               removal=report.as_data(), **networks.provenance(params))
    artifacts.write_csv(runtime.PLOTS / "threshold_scan.csv", rows)
    artifacts.write_csv(runtime.PLOTS / "finetune_curve.csv", curve)
    artifacts.write_csv(runtime.PLOTS / "units.csv", _units(before, after))
    artifacts.write_json(runtime.METRICS / "prune.json", {"prune": {
        "threshold": cuts.whole if threshold is None else threshold,
        "accuracy_compact": accuracy_compact,
        **{f"{key}_finetuned": value for key, value in quality(small, dataset.test).items()},
        "validation_accuracy_finetuned": validation,
        **reduction(before, after),
        **({"budget": budget} if budget else {}),
        "logit_gap": gap,
        "seconds": round(time.perf_counter() - start, 1),
        **runtime.provenance(params.seed)}})
    for path in (state, state.with_suffix(".scan")):
        path.unlink(missing_ok=True)
    forget(trials)


def _units(before: Size, after: Size) -> list[dict[str, str | int]]:
    counts = [("input", before.inputs, after.inputs), *((name, total, after.hidden[name]) for name, total in before.hidden.items())]
    return [{"layer": name, "total": total, "kept": kept} for name, total, kept in counts]


if __name__ == "__main__":
    runtime.main(prune)
