"""The search for the smallest network that keeps an accuracy: on functions that are known."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsify.budget import RATIO, kept, most_trials, smallest_that_keeps

sizes = st.lists(st.integers(1, 10**7), min_size=1, max_size=60, unique=True).map(sorted)


def searched(sizes, needed):
    """A network that has `needed` weights or more keeps the accuracy."""
    def fitting(goal):
        most = max(size for size in sizes if size <= goal)
        return float(most), most
    asked = []

    def accuracy(threshold):
        asked.append(threshold)
        return 90.0 + (threshold >= needed)
    best, tried = smallest_that_keeps(fitting, accuracy, sizes[-1], sizes[0], 90.5)
    assert asked == [trial.threshold for trial in tried] and len(set(asked)) == len(asked)
    return best, tried


@given(sizes, st.data())
def test_the_smallest_that_keeps_it_is_found_to_the_ratio(sizes, data):
    needed = data.draw(st.integers(0, sizes[-1]))
    best, tried = searched(sizes, needed)
    right = min(size for size in sizes if size >= needed)
    assert right <= (best.left if best else sizes[-1]) <= max(right, RATIO * right)
    assert best is None or best.accuracy == 91
    assert len(tried) <= most_trials(sizes[-1], sizes[0])


def test_no_more_is_tried_than_the_bisection_of_all_sizes_takes():
    sizes = range(10, 100_001)
    _, tried = searched(sizes, 777)
    assert len(tried) <= math.ceil(math.log2(math.log(100_000 / 9) / math.log(RATIO))) + 1 < 9


def test_where_nothing_smaller_keeps_it_none_is_found():
    best, tried = searched(list(range(1, 1000)), 999)
    assert best is None and tried and all(trial.accuracy == 90 for trial in tried)
    assert searched([5], 0) == (None, [])
    assert most_trials(0, 0) == 0


@pytest.mark.parametrize(("drop", "word"), [(0.5, "is kept"), (-1.0, "is kept"), (0.6, "is not kept")])
def test_whether_it_was_kept_is_said(drop, word):
    assert f"of 0.5 {word}" in kept(drop, 0.5)
