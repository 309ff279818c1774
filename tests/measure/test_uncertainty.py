"""Likelihood, calibration and rejection against plain Python."""

import math

import pytest
import torch

from sparsify.measure.uncertainty import BINS, REJECTED, accuracy_by_rejection, mean_of_passes, scores


def answers(n=300, classes=4, scale=2.0):
    return (scale * torch.randn(n, classes, dtype=torch.float64)).log_softmax(1), torch.randint(classes, (n,))


def calibration_error(log_probabilities, labels):
    members = [[] for _ in range(BINS)]
    for row, label in zip(log_probabilities.exp().tolist(), labels.tolist(), strict=True):
        members[min(int(max(row) * BINS), BINS - 1)].append((max(row), row.index(max(row)) == label))
    return 100 * sum(abs(sum(right for _, right in group) - sum(confidence for confidence, _ in group)) for group in members) / len(labels)


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_calibration_error_matches_a_loop_over_bins(scale):
    pytest.importorskip("torchmetrics")
    found = answers(scale=scale)
    assert scores(*found)["calibration_error"] == pytest.approx(calibration_error(*found), rel=1e-5)


def test_calibration_error_is_zero_for_certain_right_answers_and_all_for_wrong_ones():
    pytest.importorskip("torchmetrics")
    labels = torch.arange(4)
    certain = (1000 * torch.eye(4, dtype=torch.float64)).log_softmax(1)
    assert scores(certain, labels)["calibration_error"] == 0
    assert scores(certain, (labels + 1) % 4)["calibration_error"] == 100


def test_without_torchmetrics_the_rest_is_the_same():
    found = answers()
    rest = scores(*found, calibration=False)
    assert "calibration_error" not in rest
    assert rest["nll"] == pytest.approx(-sum(row[label] for row, label in zip(*(part.tolist() for part in found), strict=True)) / 300)


def test_the_least_confident_go_first():
    log_probabilities, labels = answers(97)
    rows = sorted(zip(log_probabilities.tolist(), labels.tolist(), strict=True), key=lambda row: -max(row[0]))
    right = [row.index(max(row)) == label for row, label in rows]
    kept = [max(1, round(97 * (1 - share / 100))) for share in REJECTED]
    curve = accuracy_by_rejection(log_probabilities, labels)
    assert curve == pytest.approx([100 * sum(right[:n]) / n for n in kept])
    found = scores(log_probabilities, labels, calibration=False)
    assert (found["accuracy"], found["accuracy_10_rejected"]) == (curve[0], curve[2])
    assert found["rejection_area"] == pytest.approx(sum(curve) / len(curve))


def test_an_error_that_was_unsure_is_gone_when_it_is_rejected_and_one_image_stays():
    log_probabilities = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.45, 0.55]], dtype=torch.float64).log()
    assert accuracy_by_rejection(log_probabilities, torch.tensor([0, 1, 0]), [0, 30, 100]) == pytest.approx([200 / 3, 100, 100])


def test_passes_are_averaged_as_probabilities():
    drawn = [torch.randn(5, 3) for _ in range(4)]
    remaining = iter(drawn)
    found = mean_of_passes(lambda: next(remaining), 4)
    torch.testing.assert_close(found.exp(), torch.stack(drawn).double().softmax(2).mean(0))
    sure = iter([torch.tensor([[0.0, -2000.0]]), torch.tensor([[-2000.0, 0.0]])])
    torch.testing.assert_close(mean_of_passes(lambda: next(sure), 2), torch.full((1, 2), math.log(0.5), dtype=torch.float64))
