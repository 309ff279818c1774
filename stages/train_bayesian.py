"""The Bayesian twin: noise and a prior on weights or units, trained until what is irrelevant has drowned in its noise."""

import sys
import time
from itertools import count

from torch import nn
from tqdm import tqdm

from sparsify import artifacts, checkpoint, data, distributed
from sparsify.bayes.collapse import LEAST, Alarm, left
from sparsify.bayes.convert import noise_parameters
from sparsify.bayes.variational import fit_posterior
from sparsify.compress.remove import settled
from sparsify.compress.zeros import Zeros
from sparsify.measure.accuracy import accuracy_percent, quality
from sparsify.measure.size import counts, size
from sparsify.task import Task
from stages import inputs as inputs_of
from stages import networks, runtime, twins
from stages.params import Params
from stages.snapshots import Snapshots


def train_bayesian(params: Params) -> None:
    state = runtime.training_state("bayesian", params, runtime.DATASET, runtime.BASELINE)
    start = time.perf_counter() - checkpoint.seconds(state)
    runtime.seed_everything(params.seed)
    dataset = data.load(runtime.DATASET, runtime.device())
    architecture, example = networks.architecture(params, dataset), networks.example(dataset)
    dense = networks.load(runtime.BASELINE, architecture) if params.bayesian.from_baseline else architecture.build().to(runtime.device())
    structure = settled(dense, example)
    inputs = inputs_of.may_leave(params, dense, structure)
    model, untouched = twins.make(dense, example, params.prior, inputs, structure)
    if distributed.first():
        print(*untouched, sep="\n", end="\n" if untouched else "")

    train, share = params.bayesian.train, params.bayesian.distill
    task, teacher = Task(dataset.train, dataset.validation), networks.load(runtime.BASELINE, architecture) if share else None
    data_loss = task.learnt(train, teacher, share, params.bayesian.temperature)(model)
    runtime.seed_everything(params.seed)  # how a network is made does not decide which images come first
    target, warmup = next(iter(params.prior.target.given()), None), params.bayesian.kl_warmup_epochs
    remedy = f"raise prior.target.{target} or bayesian.noise_lr_factor" if target else "lower prior.beta or raise bayesian.kl_warmup_epochs"
    alarm = Alarm(dataset.validation.labels, max(0 if target else warmup, train.epochs / 4), f"{remedy}, or lower bayesian.train.lr")
    snapshots = Snapshots(model, structure, params.bayesian.snapshots, train.epochs, dataset.train)
    epochs = count(1 + (len(artifacts.read_tensors(state)["curve"]) if state.exists() else 0))

    def evaluate() -> dict[str, float]:
        accuracy = task.score(model)
        snapshots.after_epoch()
        if distributed.first():
            for line in alarm.lines(model, next(epochs), accuracy):
                tqdm.write(line, file=sys.stderr)
        counts = [(kept, total) for kept, total, _ in left(model).values()]
        return {"validation_accuracy": accuracy, "left_percent": 100 * sum(kept for kept, _ in counts) / sum(total for _, total in counts)}

    before = counts(size(dense, structure, example))
    if params.bayesian.from_baseline:  # its zeros, if it was pruned before, stay
        zeros = Zeros(model, without=noise_parameters(model))
    else:
        zeros, before = Zeros(nn.Module()), before | {"nonzeros": before["weights"]}
    curve = fit_posterior(
        model, structure, before, dataset.train, data_loss, params.prior, params.bayesian, evaluate,
        f"bayesian ({params.prior.kind})", state, {"snapshots": snapshots, "zeros": zeros}, zeros.hold)
    if not distributed.first():
        return

    twins.save(runtime.BAYESIAN, model, architecture, params.prior, inputs)
    snapshots.write(runtime.SNAPSHOTS)
    artifacts.write_csv(runtime.PLOTS / "bayesian_curve.csv", curve)
    artifacts.write_json(runtime.METRICS / "bayesian.json", {"bayesian": {
        "prior": params.prior.kind,
        **quality(model, dataset.test),
        "validation_accuracy": accuracy_percent(model, dataset.validation),
        "layers_at_their_last_unit": sum(kept <= LEAST < total for kept, total, _ in left(model).values()),
        "seconds": round(time.perf_counter() - start, 1),
        **runtime.provenance(params.seed)}})
    state.unlink(missing_ok=True)


if __name__ == "__main__":
    runtime.main(train_bayesian)
