"""What a network's own forward keeps is, after an analysis, what it was before."""

import pytest
import torch
from torch import nn

import sparsify
from sparsify.settings import InputError


class Keeping(nn.Module):
    """It keeps what it last saw, and counts."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.passes = nn.Linear(4, 6), nn.Linear(6, 3), 0

    def forward(self, x):
        self.passes += 1
        self.seen = self.fc1(x).relu()
        return self.fc2(self.seen)


def test_an_activation_that_a_network_keeps_leaves_it_as_it_was():
    network, x = Keeping(), torch.randn(3, 4)
    small, report = sparsify.remove(network, x, {"fc1": torch.arange(6) < 4})
    assert report.after["fc1"] == 4 and type(small(x)) is torch.Tensor
    assert not hasattr(network, "seen") and network.passes == 0


def test_an_activation_that_keeps_the_network_from_being_copied_is_named():
    network = Keeping()
    network(torch.randn(3, 4))
    with pytest.raises(InputError, match=r"seen is computed .* delete it if it is an activation"):
        sparsify.streams(network, torch.randn(3, 4))
    del network.seen
    sparsify.streams(network, torch.randn(3, 4))
