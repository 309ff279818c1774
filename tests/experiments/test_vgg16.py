"""VGG-16's tables: every figure against one that was worked out by hand."""

import pandas as pd
from legible import legible, named

from experiments import collect, vgg16
from experiments.vgg16 import FULL, PUBLISHED, RECIPE

COUNTS = {"hidden_left": 25, "hidden_total": 100, "weights_left": 2000, "weights_total": 10000, "nonzeros_left": 1000,
          "macs_left": 3e6, "macs_total": 2e7, "seconds": 1800}


def rows(*distinct):
    base = dict.fromkeys(collect.COLUMNS, 0) | COUNTS | {"recipe": RECIPE, "method": "gate", "overrides": ""}
    return pd.DataFrame([base | row for row in distinct])


def test_channels_stand_beside_the_published_ones_of_the_full_network():
    units = pd.DataFrame({"layer": ["input", "conv1", "conv2", "fc1"], "total": [3072, 16, 16, 128], "kept": [3072, 4, 8, 1]})
    assert vgg16.channels(units, {"theirs": (64, 32)}) == [
        ["layer", "ours", "kept %", "theirs, of 4,224", "kept %"],
        ["conv1", "4 of 16", "25.0", "64 of 64", "100.0"], ["conv2", "8 of 16", "50.0", "32 of 64", "50.0"],
        ["together", "12 of 32", "37.5", "96 of 4,224", "2.3"]]


def test_every_published_network_has_all_thirteen_convolutions_and_no_more_channels_than_there_are():
    for kept in PUBLISHED.values():
        assert all(0 < part <= whole for part, whole in zip(kept, FULL, strict=True))


def test_latency_has_a_line_a_batch_size():
    def spread(median):
        return {"median": median, "q25": median / 2, "q75": 2 * median}
    benchmark = {"dense": {"latency_ms_batch_256": spread(1234.0)}, "compact": {"latency_ms_batch_256": spread(2.0)},
                 "speedup": {"batch_256": spread(4.0)}, "repeats": 30, "dtype": "float32", "threads": 1, "device": "cpu", "torch": "2"}
    assert vgg16.latency(benchmark).splitlines()[2:] == [
        "| 256 | 1,230 (617-2,470) | 2 (1-4) | 4 (2-8) |", "", "30 rounds of both in turn, float32, 1 thread; cpu; torch 2."]


def test_time_to_an_accuracy_ends_with_the_first_epoch_that_has_it():
    curve = pd.DataFrame({"epoch": [1, 2, 3, 4], "validation_accuracy": [50.0, 90.0, 89.0, 93.5], "seconds": [60.0, 90.0, 60.0, 60.0]})
    assert vgg16.time_to(curve, (50, 90, 93, 94))[1:] == [
        ["50 %", "1", "1.0"], ["90 %", "2", "2.5"], ["93 %", "4", "4.5"], ["94 %", "not reached", ""]]


def test_widths_are_of_the_prior_of_runs_that_changed_nothing_else():
    found = vgg16.by_width(rows(
        {"overrides": "model.width=0.50", "accuracy": 1}, {"overrides": "model.width=0.5", "accuracy": 91},
        {"accuracy": 90}, {"overrides": "model.width=0.125", "accuracy": 89},
        {"overrides": "model.width=0.5 prior.beta=1"}, {"overrides": "prior.beta=1"}, {"method": "scratch"}, {"recipe": "other"}))
    assert found[["width", "accuracy"]].to_numpy().tolist() == [[0.125, 89], [0.5, 91], [1, 90]]


def test_a_width_is_told_by_the_means_over_its_seeds():
    found = vgg16.by_width(rows({"accuracy": 90, "accuracy_dense": 92}, {"accuracy": 91, "accuracy_dense": 92, "seed": 2}))
    assert vgg16.widths(found)[1:] == [
        ["1", "2", "92.00", "90.50 ± 0.71", "75.0", "2,000 of 10,000", "3.00 of 20.0", "0.5"]]


def test_the_picture_has_every_width_in_each_of_its_curves():
    figure = legible(vgg16.picture(vgg16.by_width(rows(
        {"accuracy": 90, "accuracy_dense": 93}, {"overrides": "model.width=0.5", "accuracy": 91, "accuracy_dense": 92}))))
    curves = {line.get_label(): line.get_xydata().tolist() for axes in figure.axes for line in axes.get_lines()}
    assert curves == {"dense": [[0.5, 92], [1, 93]], "compact": [[0.5, 91], [1, 90]], "weights": [[0.5, 90], [1, 90]],  # non-zeros
                      "channels and\nunits": [[0.5, 75], [1, 75]]}
    ends = {name: end[:2] for axes in figure.axes for name, end in named(axes).items()}
    assert ends == {name: tuple(curve[-1]) for name, curve in curves.items()}
