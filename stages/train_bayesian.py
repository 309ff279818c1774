"""The Bayesian twin: noise and a prior on weights or units, trained until what is irrelevant has drowned in its noise."""

import sys
import time
from itertools import count

from torch import nn
from tqdm import tqdm

from sparsify import artifacts, checkpoint, data, distributed
from sparsify.bayes.collapse import LEAST, Alarm, left
from sparsify.bayes.convert import noise_parameters
from sparsify.bayes.objective import negative_elbo, update_priors
from sparsify.bayes.target import ExpectedSize, Pressure
from sparsify.measure.accuracy import accuracy_percent, quality
from sparsify.structure import Structure, analyse
from sparsify.training import answers, cross_entropy, distillation, fit
from stages import inputs as inputs_of
from stages import networks, runtime, twins
from stages.params import Params


def train_bayesian(params: Params) -> None:
    state = runtime.training_state("bayesian", params, runtime.DATASET, runtime.BASELINE)
    start = time.perf_counter() - checkpoint.seconds(state)
    runtime.seed_everything(params.seed)
    dataset = data.load(runtime.DATASET, runtime.device())
    architecture, example = networks.architecture(params, dataset), networks.example(dataset)
    dense = networks.load(runtime.BASELINE, architecture) if params.bayesian.from_baseline else architecture.build().to(runtime.device())
    structure = analyse(dense, example)
    inputs = inputs_of.may_leave(params, dense, structure)
    model, untouched = twins.make(dense, example, params.prior, inputs, structure)
    if distributed.first():
        print(*untouched, sep="\n", end="\n" if untouched else "")

    train, share = params.bayesian.train, params.bayesian.distill
    data_loss = cross_entropy(model, train)
    if share:
        teacher = answers(networks.load(runtime.BASELINE, architecture), dataset.train, train.augment)
        data_loss = distillation(model, teacher, train, share, params.bayesian.temperature)
    runtime.seed_everything(params.seed)  # how a network is made does not decide which images come first
    beta, warmup = params.prior.beta, params.bayesian.kl_warmup_epochs
    pressure = _pressure(params, model, structure, len(dataset.train))
    loss = negative_elbo(model, data_loss, len(dataset.train), pressure.beta if pressure else beta, 0 if pressure else warmup)

    key = f"prior.target.{next(iter(params.prior.target.given()))}" if pressure else "prior.beta"
    alarm = Alarm(dataset.validation.labels, max(0 if pressure else warmup, train.epochs / 4), f"{'raise' if pressure else 'lower'} {key}"
                  f"{'' if pressure else ' or raise bayesian.kl_warmup_epochs'}, or lower bayesian.train.lr")
    epochs = count(1 + (len(artifacts.read_tensors(state)["curve"]) if state.exists() else 0))

    def evaluate() -> dict[str, float]:
        accuracy = accuracy_percent(model, dataset.validation)
        if distributed.first():
            for line in alarm.lines(model, next(epochs), accuracy):
                tqdm.write(line, file=sys.stderr)
        return {"validation_accuracy": accuracy, **(pressure.report() if pressure else {})}

    def after_step() -> None:
        update_priors(model)
        if pressure:
            pressure.step()

    curve = fit(model, dataset.train, loss, train, evaluate, f"bayesian ({params.prior.kind})", after_step,
                lr_factors=dict.fromkeys(noise_parameters(model), params.bayesian.noise_lr_factor),
                state=state, also={"pressure": pressure} if pressure else {})
    if not distributed.first():
        return

    twins.save(runtime.BAYESIAN, model, architecture, params.prior, inputs)
    artifacts.write_csv(runtime.PLOTS / "bayesian_curve.csv", curve)
    artifacts.write_json(runtime.METRICS / "bayesian.json", {"bayesian": {
        "prior": params.prior.kind,
        **quality(model, dataset.test),
        "validation_accuracy": accuracy_percent(model, dataset.validation),
        "layers_at_their_last_unit": sum(kept <= LEAST < total for kept, total, _ in left(model).values()),
        "seconds": round(time.perf_counter() - start, 1),
        **runtime.provenance(params.seed)}})
    state.unlink(missing_ok=True)


def _pressure(params: Params, twin: nn.Module, structure: Structure, n: int) -> Pressure | None:
    """Where there is a target: it falls during the training, which is all the warm-up that the KL needs."""
    train = params.bayesian.train
    for by, target in params.prior.target.given().items():
        return Pressure(ExpectedSize(twin, structure, by), target, train.epochs * (n // min(train.batch_size, n)))
    return None


if __name__ == "__main__":
    runtime.main(train_bayesian)
