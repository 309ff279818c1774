"""The optimiser, against torch's own."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_training import network, train
from torch import nn

from sparsify.bayes.convert import bayesianize
from sparsify.training import descend, make_optimizer


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_weight_decay_shrinks_weights_alone(train_settings, prior_settings, optimizer):
    model = bayesianize(network(), prior_settings(kind="gaussian"), True)  # with noise on the first layer
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


def test_training_does_not_load_the_compiler():
    code = ("import sys, torch; from sparsify.training import TrainSettings, descend, make_optimizer; model = torch.nn.Linear(2, 1); "
            "optimizer = make_optimizer(model, TrainSettings(epochs=1, batch_size=1, optimizer='adamw', lr=0.1, weight_decay=0.0, "
            "label_smoothing=0.0, input_noise=0.0, input_dropout=0.0, augment=False, precision='float32')); "
            "descend(optimizer, {'nll': model(torch.ones(1, 2)).sum()}); optimizer.load_state_dict(optimizer.state_dict()); "
            "sys.exit('torch._dynamo' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent).returncode == 0
