"""The size of VGG-16 against sums by hand, and a fit that is given what it should find."""

import pytest

from benchmarks import memory

CONVOLUTIONS = [(64, 32), (64, 32), (128, 16), (128, 16), *[(256, 8)] * 3, *[(512, 4)] * 3, *[(512, 2)] * 3]  # channels, side


def test_size_is_the_sum_over_the_layers():
    weights, values, before = 512 * 512 + 512 * 10, 512 + 10, 3  # the linear layers'
    for channels, side in CONVOLUTIONS:
        weights, values, before = weights + 9 * before * channels, values + channels * side**2, channels
    assert memory.size(1.0) == (weights, values)


def test_a_fit_finds_what_the_peaks_are_made_of():
    rows = [{"weights": weights, "values": values, "batch": batch, "peak_mib": (20 * weights + 9 * batch * values) / 2**20}
            for weights, values, batch in ((1e6, 1e4, 4), (1e6, 1e4, 64), (4e6, 2e4, 16))]
    found = memory.fitted(rows)
    assert (found["bytes_a_weight"], found["bytes_a_value"], found["error"]) == (pytest.approx(20), pytest.approx(9), 0)
