"""The optimiser, against torch's own."""

import copy

import pytest
import torch
from test_training import network, train
from torch import nn

from sparsify.bayes.convert import bayesianize
from sparsify.training import descend, make_optimizer


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_weight_decay_shrinks_weights_alone(train_settings, prior_settings, optimizer):
    model = bayesianize(network(), torch.zeros(2, 1, 3, 3), prior_settings(kind="gaussian"))  # with noise on the first layer
    with torch.no_grad():
        model[1].bias.fill_(1)
    before = copy.deepcopy(model)
    train(model, train_settings(optimizer=optimizer, weight_decay=0.5),
          lambda _: {"nll": sum(0 * parameter.sum() for parameter in model.parameters())})
    weights = (model[1].weight, model[4].weight)
    for parameter, old in zip(model.parameters(), before.parameters(), strict=True):
        if any(parameter is weight for weight in weights):
            assert (parameter.abs() < old.abs()).all() and (parameter.sign() == old.sign()).all()
        else:
            assert torch.equal(parameter, old)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_the_optimizer_takes_torchs_own_steps(train_settings, name):
    settings = train_settings(optimizer=name, weight_decay=0.1)
    ours, theirs = (nn.Linear(3, 2) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    optimizer = make_optimizer(ours, settings)
    kind, keywords = {"adamw": (torch.optim.AdamW, {}), "sgd": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True})}[name]
    reference = kind([{"params": [theirs.weight], "weight_decay": 0.1}, {"params": [theirs.bias], "weight_decay": 0.0}],
                     lr=settings.lr, **keywords)
    for images in torch.randn(5, 4, 3):
        descend(optimizer, {"nll": ours(images).square().mean()})
        descend(reference, {"nll": theirs(images).square().mean()})
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.bias, theirs.bias)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_a_factor_multiplies_the_learning_rate_of_the_parameter_it_names(train_settings, name):
    def step(lr, factors):
        model = nn.Linear(3, 2)
        nn.init.constant_(model.weight, 1), nn.init.constant_(model.bias, 1)
        optimizer = make_optimizer(model, train_settings(optimizer=name, lr=lr, weight_decay=0.1), factors)
        descend(optimizer, {"nll": model(torch.ones(1, 3)).square().sum()})
        return model
    faster = step(0.01, {"weight": 3.0})
    assert torch.equal(faster.weight, step(0.01 * 3.0, {}).weight)
    assert torch.equal(faster.bias, step(0.01, {}).bias)


def test_the_schedule_keeps_the_factors(train_settings):
    start = network()

    def moved(**more):
        model = copy.deepcopy(start)
        train(model, train_settings(optimizer="sgd", weight_decay=0.0),
              lambda _: {"nll": sum(parameter.sum() for parameter in model.parameters())}, **more)
        return [after - before for after, before in zip(model.parameters(), start.parameters(), strict=True)]
    for (name, _), plain, faster in zip(start.named_parameters(), moved(), moved(lr_factors={"1.bias": 3.0}), strict=True):
        torch.testing.assert_close(faster, 3 * plain if name == "1.bias" else plain)
