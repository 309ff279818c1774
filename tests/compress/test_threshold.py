"""The scan of thresholds and the choice within a budget, against brute force."""

import pytest
import torch
from torch import nn

from sparsify.compress.masks import EmptyLayer
from sparsify.compress.threshold import candidates, finer, largest_within, scan, within_budget
from sparsify.settings import InputError


@pytest.mark.parametrize("n", [1, 2, 7, 100, 1000])
def test_candidates_cut_the_scores_of_all_layers_into_equal_parts(n):
    scores = {"a": torch.rand(10, 7), "b": torch.rand(30, 1)}
    values = sorted([*scores["a"].flatten().tolist(), *scores["b"].flatten().tolist()])
    found = candidates(scores, n)
    assert found == sorted(found, reverse=True) and len(found) == min(n, 100) and set(found) <= set(values)
    assert found[0] == values[-1]
    for number, threshold in enumerate(found):
        share = 1 if n == 1 else 1 - number / (len(found) - 1)
        assert abs(values.index(threshold) - 99 * share) <= 0.5 + 1e-4


def test_at_the_first_candidate_nothing_goes():
    scores = {"a": torch.randn(50, 3), "b": torch.full((4, 1), 2.5)}
    first = candidates(scores, 5)[0]
    assert all((score <= first).all() for score in scores.values())


def test_candidates_do_not_repeat():
    assert candidates({"a": torch.tensor([1.0, 1.0, 2.0])}, 40) == [2.0, 1.0]


def cut_at(threshold):
    """A network of as many units as there are scores up to the threshold."""
    units = sum(score <= threshold for score in (1.0, 2.0, 3.0))
    if not units:
        raise EmptyLayer("none is left")
    return nn.Linear(4, units)


def test_scan_measures_the_cut_network_up_to_the_first_that_empties_a_layer():
    rows = scan(cut_at, [3.0, 2.0, 1.0, 0.0, 1.5], lambda small: {"units": small.out_features})
    assert rows == [{"threshold": 3.0, "units": 3}, {"threshold": 2.0, "units": 2}, {"threshold": 1.0, "units": 1}]


@pytest.mark.parametrize("n", [3, 100])
def test_finer_thresholds_lie_between_the_chosen_and_the_next_lower_one(n):
    scores = {"a": torch.rand(10, 7), "b": torch.rand(30, 1)}
    coarse = candidates(scores, 10)
    values = sorted([*scores["a"].flatten().tolist(), *scores["b"].flatten().tolist()], reverse=True)
    for chosen, after in zip(coarse, [*coarse[1:], -1.0], strict=True):
        between = [value for value in values if after < value < chosen]
        found = finer(scores, coarse, chosen, n)
        assert found[0] == chosen
        assert set(found[1:]) <= set(between) and len(found) - 1 == min(n, len(between))
        assert found == sorted(found, reverse=True)


@pytest.mark.parametrize(("least", "chosen"), [(97.0, 2), (99.0, 0), (98.0, 1), (90.0, 3), (0.0, 3), (99.9, 0)])
def test_the_most_removed_within_the_budget_is_taken(least, chosen):
    rows = [{"removed": 0.0, "accuracy": 99.0}, {"removed": 50.0, "accuracy": 98.0}, {"removed": 70.0, "accuracy": 97.0},
            {"removed": 90.0, "accuracy": 91.0}, {"removed": 80.0, "accuracy": 96.0}]  # accuracy need not fall steadily
    assert within_budget(rows, "removed", "accuracy", least) is rows[chosen]


def test_a_drop_of_just_what_is_allowed_is_within_the_budget():
    for correct in range(4000, 5001):  # of 5,000 images; the differences of such percentages are not exact
        rows = [{"removed": 0.0, "accuracy": 100 * correct / 5000}, {"removed": 1.0, "accuracy": 100 * (correct - 5) / 5000}]
        assert within_budget(rows, "removed", "accuracy", rows[0]["accuracy"] - 0.1) is rows[1]
        assert within_budget(rows, "removed", "accuracy", rows[0]["accuracy"] - 0.08) is rows[0]


def test_another_error_is_not_taken_for_a_collapse():
    def fails(threshold):
        raise InputError("masks that do not fit")
    with pytest.raises(InputError, match="masks that do not fit"):
        scan(fails, [0.0], lambda small: {})


def test_a_collapsed_network_is_an_error_and_not_an_empty_scan():
    with pytest.raises(InputError, match="collapsed"):
        scan(cut_at, [0.0, -1.0], lambda small: {})


@pytest.mark.parametrize(("most", "expected"), [(1, 0.5), (3, 1.5), (3.9, 1.5), (4, 2.0), (100, 9.0)])
def test_the_largest_within_a_target_is_taken(most, expected):
    scores = {"a": torch.tensor([1.5, 0.5]), "b": torch.tensor([[1.0, 2.0, 9.0]])}
    left = lambda threshold: sum((score <= threshold).sum().item() for score in scores.values())  # noqa: E731
    assert largest_within(scores, left, most, "units") == expected


def test_a_target_below_what_can_be_left_is_refused_with_what_can():
    scores = {"a": torch.tensor([1.0, 2.0, 3.0])}

    def left(threshold):
        if threshold < 2:
            raise EmptyLayer("none is left")
        return 100 * threshold
    assert largest_within(scores, left, 250, "macs") == 2.0
    with pytest.raises(InputError, match=r"the target is 150 macs; no threshold .* leaves fewer than 200: set a larger target"):
        largest_within(scores, left, 150, "macs")
    with pytest.raises(InputError, match="the target is 1e-09 macs; "):
        largest_within(scores, left, 1e-9, "macs")
