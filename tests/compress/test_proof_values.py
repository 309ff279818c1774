"""Outputs and inputs that are not just any real numbers, in the proof of a removal."""

import pytest
import torch
from torch import nn

from sparsify.compress.masks import mask
from sparsify.compress.remove import remove

KEPT = torch.tensor([True, False, True, True, False, True, True, True])


class Around(nn.Module):
    """Two layers, and functions of what comes in and goes out.  (N, 4) -> (N, 3)"""

    def __init__(self, before=lambda x: x, after=lambda y, width: y):
        super().__init__()
        self.fc1, self.fc2, self.before, self.after = nn.Linear(4, 8), nn.Linear(8, 3), before, after

    def forward(self, x):
        x = self.fc1(self.before(x)).sigmoid()
        return self.after(self.fc2(x), x.shape[1])


@torch.no_grad()
@pytest.mark.parametrize("after", [lambda y, width: (100 * y * width).long(), lambda y, width: y.sum(1) * width > 4,
                                   lambda y, width: torch.complex(y, y) * width], ids=["whole numbers", "bool", "complex"])
def test_outputs_of_every_dtype_are_proven(after):
    network, x = Around(after=after), torch.rand(2, 4)
    nn.init.constant_(network.fc2.bias, 0.2)
    small, report = remove(network, x, {"fc1": KEPT})
    assert report.kept["fc1"].startswith("cut, its outputs would differ") and small.fc1.out_features == 8
    assert torch.equal(small(x), mask(network, x, {"fc1": KEPT})(x))


@torch.no_grad()
@pytest.mark.parametrize(("before", "example"), [(torch.log, torch.rand(3, 4)),
                                                 (lambda x: torch.eye(4).to(x)[(100 * x[:, 0]).long()], torch.full((3, 4), 0.025))],
                         ids=["logarithm", "index"])
def test_a_network_that_takes_no_random_numbers_is_proven_on_its_example(before, example):
    network = Around(before)
    small, report = remove(network, example, {"fc1": KEPT})
    assert report.after["fc1"] == 6 and report.gap < 1e-9
    torch.testing.assert_close(small(example), mask(network, example, {"fc1": KEPT})(example))
