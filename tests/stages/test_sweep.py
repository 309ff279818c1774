"""Where the plateau ends, against a curve read by eye; and pictures of every kind of table that may come."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from test_recipes import compose

from stages import params, sweep, sweep_pictures

DENSE = {"accuracy": 98.6, "validation_accuracy": 98.3}
CURVE = [  # accuracy need not fall steadily
    {"share": 0.0, "accuracy": 98.6, "validation_accuracy": 98.3},
    {"share": 50.0, "accuracy": 98.0, "validation_accuracy": 98.35},
    {"share": 80.0, "accuracy": 98.1, "validation_accuracy": 97.8},  # 0.5 points below, but for the rounding of a float
    {"share": 90.0, "accuracy": 97.0, "validation_accuracy": 97.7}]


def test_the_plateau_is_of_the_test_curve_and_the_choice_of_validation():
    report = sweep._reach([{**point, "speedup": 2.0, "accuracy_std": 0.0} for point in CURVE], DENSE, 0.5)
    assert report["plateau_percent"] == 80
    assert report["within_drop"] == {"share": 80.0, "accuracy": 98.1, "accuracy_std": 0.0, "speedup": 2.0}
    assert report["lossless"]["share"] == 50


def test_where_nothing_is_within_the_drop_nothing_is_chosen():
    assert sweep._reach(CURVE[3:], DENSE, 0.5) == {"plateau_percent": None, "within_drop": {}, "lossless": {}}


def test_curves_are_means_over_the_seeds():
    rows = [{"method": "units", "recovered": 1, "share": share, "seed": seed, "accuracy": 90 + seed, "validation_accuracy": 2.0 * seed}
            for share in (0, 50) for seed in (1, 2, 6)]
    curve = sweep._curve([*rows, {**rows[0], "method": "weights"}], "units", 1)
    assert [point["share"] for point in curve] == [0, 50]
    for point in curve:
        assert (point["accuracy"], point["validation_accuracy"], point["accuracy_std"]) == (93, 6, pytest.approx(7**0.5))


@pytest.fixture
def metrics(tmp_path, monkeypatch):
    """In a working directory with the committed table of the sweep and the parameters of a recipe."""
    committed = Path("plots/sweep.csv").resolve()
    monkeypatch.chdir(tmp_path)
    Path("plots").mkdir()
    Path("metrics").mkdir()
    shutil.copy(committed, "plots/sweep.csv")
    compose(Path("params.yaml"), "recipe=mnist-lenet5")
    ends = {phase: {"plateau_percent": end} for phase, end in (("pruned", None), ("recovered", 80.0))}
    dense = {"accuracy": 95.7, "weights": 266200, "hidden": 400}
    return {"sweep": {"dense": dense, "weights": ends, "units": ends, "seeds": 3, "timing_threads": 1},
            "prune": {"hidden_removed_percent": 87.0, "compression_nonzeros": 14.0, "accuracy_finetuned": 95.0},
            "benchmark": {"speedup": {"batch_1": {"median": 2.0}, "batch_1000": {"median": 6.6}}}}


def test_results_of_the_same_recipe_and_any_prior_are_points_with_their_seeds(metrics):
    row = {"accuracy": 95.0, "hidden_left": 50, "hidden_total": 400, "nonzeros_left": 5000, "weights_total": 266200}
    table = [{"recipe": "mnist-lenet5", "method": "gate", "overrides": "", "seed": seed, **row} for seed in (1, 2, 3)]
    table += [{"recipe": recipe, "method": method, "overrides": overrides, "seed": 1, **row} for recipe, method, overrides in
              (("mnist-lenet5", "scratch", ""), ("mnist-lenet5", "ard", "prior.kind=ard prior.beta=2"),
               ("mnist-lenet5", "scratch", "prior.kind=ard prior.beta=2"), ("other", "ard", ""),
               ("mnist-lenet5", "gate", "prior.beta=2 finetune.train.epochs=9"))]
    pd.DataFrame(table).to_csv("metrics/results.csv")
    figure = sweep_pictures.sweep_curves(params.load(), metrics, pd.read_csv("plots/sweep.csv"))
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert [label for label in labels if "seed" in label and "magnitude" not in label] == [
        "ard prior.beta=2, 1 seed", "gate, 3 seeds", "scratch, 1 seed", "scratch prior.kind=ard prior.beta=2, 1 seed"]


@pytest.mark.parametrize("draw", [sweep_pictures.sweep_curves, sweep_pictures.sweep_speedup])
def test_pictures_do_without_a_table_of_results_and_with_one_share(metrics, draw, tmp_path):
    table = pd.read_csv("plots/sweep.csv")
    draw(params.load(), metrics, table[table["share"] == 50]).savefig(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size
