"""The Bayesian twin: noise and a prior on weights or units, trained until what is irrelevant has drowned in its noise."""

import time
from dataclasses import asdict

import torch

from sparsify import artifacts, checkpoint, data, distributed, models
from sparsify.bayes.convert import bayesianize, noise_parameters
from sparsify.bayes.objective import negative_elbo, update_priors
from sparsify.bayes.priors import KINDS
from sparsify.measure.accuracy import accuracy_percent, quality
from sparsify.measure.size import unit_costs, weight_costs
from sparsify.training import answers, cross_entropy, distillation, fit
from stages import runtime
from stages.params import Params


def train_bayesian(params: Params) -> None:
    state = runtime.training_state("bayesian", params, runtime.DATASET, runtime.BASELINE)
    start = time.perf_counter() - checkpoint.seconds(state)
    runtime.seed_everything(params.seed)
    dataset = data.load(runtime.DATASET, runtime.device())
    dense = models.build(params.model.name, dataset.input_shape, dataset.n_classes, params.model.width)
    description = models.describe(dense)
    if params.bayesian.from_baseline:
        dense = artifacts.load_model(runtime.BASELINE, description)
    model = bayesianize(dense, params.prior, params.prune.inputs, _costs(dense, params, dataset)).to(runtime.device())

    train, share = params.bayesian.train, params.bayesian.distill
    data_loss = cross_entropy(model, train)
    if share:
        teacher = answers(artifacts.load_model(runtime.BASELINE, description).to(runtime.device()), dataset.train.images, train.augment)
        data_loss = distillation(model, teacher, train, share, params.bayesian.temperature)
    loss = negative_elbo(model, data_loss, len(dataset.train.labels), params.prior.beta, params.bayesian.kl_warmup_epochs)
    curve = fit(model, dataset.train, loss, train,
                lambda: {"validation_accuracy": accuracy_percent(model, dataset.validation)}, f"bayesian ({params.prior.kind})",
                after_step=lambda: update_priors(model),
                lr_factors=dict.fromkeys(noise_parameters(model), params.bayesian.noise_lr_factor),
                state=state)
    if not distributed.first():
        return

    artifacts.save_bayesian(runtime.BAYESIAN, description, model, {"inputs": params.prune.inputs, **asdict(params.prior)})
    artifacts.write_csv(runtime.PLOTS / "bayesian_curve.csv", curve)
    artifacts.write_json(runtime.METRICS / "bayesian.json", {"bayesian": {
        "prior": params.prior.kind,
        **quality(model, dataset.test),
        "validation_accuracy": accuracy_percent(model, dataset.validation),
        "seconds": round(time.perf_counter() - start, 1),
        **runtime.provenance(params.seed)}})
    state.unlink(missing_ok=True)


def _costs(dense: torch.nn.Sequential, params: Params, dataset: data.Dataset) -> dict[str, torch.Tensor]:
    """What the KL of each layer is multiplied by: the cost of what its prior can remove."""
    if KINDS[params.prior.kind].groups == "units":
        return unit_costs(dense, dataset.input_shape, params.prior.kl_weight)
    costs = weight_costs(dense, dataset.input_shape, params.prior.kl_weight)
    return {name: torch.tensor(cost) for name, cost in costs.items()}


if __name__ == "__main__":
    runtime.main(train_bayesian)
