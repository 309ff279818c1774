"""Units that are written in place into a slice, or into what has a second name, against masks by hand; and movements of odd kinds."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import sparsify


class Written(nn.Module):
    """One layer, read by a second directly and by a third from where `write` put it.  (N, 5) -> (N, 3)"""

    def __init__(self, write):
        super().__init__()
        self.first, self.second, self.third, self.write = nn.Linear(5, 6), nn.Linear(6, 3), nn.Linear(6, 3), write

    def forward(self, x):
        x = self.first(x)
        return self.second(x) + self.third(self.write(torch.zeros_like(x), x))


def into_a_slice(y, x):
    y[:, :6].add_(x)
    return y


def into_a_narrow_half(y, x):
    for part, other in zip(y.chunk(2, 1), x.chunk(2, 1), strict=True):
        part.add_(other)
    return y


def beside_a_view(y, x):
    other = y.view(-1, 6)
    y.relu_().add_(x)
    return other


def into_the_whole(y, x):
    y += x
    return y


@torch.no_grad()
@pytest.mark.parametrize(("write", "fixed"), [(into_a_slice, True), (into_a_narrow_half, True), (beside_a_view, True),
                                              (into_the_whole, False)])
def test_a_unit_that_is_read_where_it_was_written_in_place_is_not_silenced(write, fixed):
    network, x = Written(write).double(), torch.randn(9, 5, dtype=torch.float64)
    kept = (torch.arange(6) != 2).expand(3, 6)  # `third` reads unit 2 still
    by_hand = copy.deepcopy(network)
    by_hand.second.weight.mul_(kept)
    torch.testing.assert_close(sparsify.mask(network, x, weights={"second.weight": kept})(x), by_hand(x))
    assert (sparsify.streams(network, x)["first"].fixed is not None) == fixed


class Windows(nn.Module):
    """A convolution whose windows a linear layer reads.  (N, 2, 6, 6) -> (N, 3)"""

    def __init__(self):
        super().__init__()
        self.conv, self.fc, self.head = nn.Conv2d(2, 6, 3), nn.Linear(24, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.head(self.fc(F.unfold(self.conv(x), 2).transpose(1, 2)).relu().mean(1))


@torch.no_grad()
def test_windows_as_columns_leave_with_their_channel():
    network, x = Windows().double(), torch.randn(2, 2, 6, 6, dtype=torch.float64)
    keep = {"conv": torch.arange(6) != 1, "fc": torch.arange(5) < 3}
    small, report = sparsify.remove(network, x, keep)
    assert not report.kept and small.fc.weight.shape == (3, 20)
    torch.testing.assert_close(small(x), sparsify.mask(network, x, keep)(x))


class Pairs(nn.Module):
    """Pairs of units as complex numbers.  (N, 4) -> (N, 2)"""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 6), nn.Linear(6, 8), nn.Linear(4, 2)

    def forward(self, x):
        pairs = self.second(self.first(x).relu()).unflatten(1, (4, 2))
        return self.head(torch.view_as_complex(pairs).abs())


def test_a_view_as_another_kind_of_number_keeps_its_units_and_is_named():
    streams = sparsify.streams(Pairs(), torch.randn(2, 4))
    assert streams["second"].fixed.startswith("view_as_complex") and streams["first"].fixed is None
