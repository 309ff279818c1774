"""Accuracy and likelihood against plain Python."""

import math

import pytest
import torch
from torch import nn

from sparsify.data import Split
from sparsify.measure.accuracy import accuracy_percent, largest_logit_gap, predict, quality


def test_quality_of_known_answers():
    probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.6, 0.2, 0.2]], dtype=torch.float64)
    model, labels = nn.Identity(), torch.tensor([0, 1, 0, 2])
    found = quality(model, Split(probabilities.log(), labels))
    assert found["accuracy"] == 50 == accuracy_percent(model, Split(probabilities.log(), labels))
    assert found["nll"] == pytest.approx(-sum(map(math.log, (0.7, 0.8, 0.3, 0.2))) / 4)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_predict_evaluates_every_image_in_order_and_restores_the_mode(batch_size):
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.9)).double().train()
    model[2].running_mean.normal_()
    images = torch.randn(7, 1, 2, 2, dtype=torch.float64)
    found = predict(model, Split(images, torch.zeros(7)), batch_size)
    linear, norm = model[1], model[2]
    expected = (images.flatten(1) @ linear.weight.T + linear.bias - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    torch.testing.assert_close(found, expected)
    assert model.training and not found.requires_grad


def test_largest_logit_gap_is_a_share_of_the_largest_logit():
    class Shifted(nn.Module):
        def forward(self, x):
            return x + torch.tensor([0.0, 0.5])

    for inputs, gap in (([[1.0, -20.0], [3.0, 4.0]], 0.5 / 20), ([[0.1, 0.2]], 0.5)):
        assert largest_logit_gap(nn.Identity(), Shifted(), Split(torch.tensor(inputs), torch.zeros(len(inputs)))) == pytest.approx(gap)
