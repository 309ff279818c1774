"""Where the plateau ends, against a curve read by eye; and pictures of every kind of table that may come."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from legible import legible, lines, named
from matplotlib.colors import to_hex
from test_recipes import compose

from stages import params, style, sweep, sweep_pictures

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


def drawn(draw, metrics, *results):
    return draw(params.load(), metrics, pd.read_csv("plots/sweep.csv"), *results)


def test_results_of_the_same_recipe_and_any_prior_are_points_with_their_seeds(metrics):
    row = {"hidden_total": 400, "nonzeros_left": 5324, "weights_total": 266200}
    table = [{"recipe": "mnist-lenet5", "method": "gate", "overrides": "", "seed": seed, "accuracy": 94 + seed, "hidden_left": 50, **row}
             for seed in (1, 2, 3)]
    table += [{"recipe": recipe, "method": method, "overrides": overrides, "seed": 1, "accuracy": accuracy, "hidden_left": 100, **row}
              for recipe, method, overrides, accuracy in (
                  ("mnist-lenet5", "scratch", "", 93.0), ("mnist-lenet5", "ard", "prior.kind=ard prior.beta=2", 92.0),
                  ("mnist-lenet5", "magnitude", "prior.kind=ard prior.beta=2", 91.0), ("other", "ard", "", 90.0),
                  ("mnist-lenet5", "gate", "prior.beta=2 finetune.train.epochs=9", 89.0))]
    pd.DataFrame(table).to_csv("results.csv")
    weights, units = legible(drawn(sweep_pictures.sweep_curves, metrics, Path("results.csv"))).axes
    for axes, left in ((weights, {"gate": 2, "other": 2}), (units, {"gate": 12.5, "other": 25})):
        points = {name: point for name, point in named(axes).items() if "n =" in name}
        assert points == {"gate, n = 3": (left["gate"], 96, style.PRIORS["gate"].color.lower()),
                          "ard beta=2, n = 1": (left["other"], 92, style.PRIORS["ard"].color.lower()),
                          "scratch, n = 1": (left["other"], 93, style.SCRATCH.color.lower()),
                          "magnitude like ard beta=2, n = 1": (left["other"], 91, style.MAGNITUDE.color.lower())}
        seen = {(to_hex(line.get_color()).upper(), line.get_marker()): line.get_xydata().tolist() for line in axes.get_lines()}
        for name in ("gate", "ard", "scratch"):
            place = next(point for text, point in points.items() if text.startswith(name))
            assert seen[style.METHODS[name]] == [pytest.approx(list(place[:2]))]


def test_the_curves_are_magnitude_as_pruned_and_retrained_and_the_star_is_the_present_run(metrics):
    rows = pd.read_csv("plots/sweep.csv")
    for axes, method, column, total, star in zip(legible(drawn(sweep_pictures.sweep_curves, metrics)).axes, ("weights", "units"),
                                                 ("nonzeros_left", "hidden_left"), (266200, 400), (100 / 14, 13.0), strict=True):
        for recovered, line in ((0, "--"), (1, "-")):
            chosen = rows[(rows["method"] == method) & (rows["recovered"] == recovered)].groupby("share")
            expected = [list(100 * chosen[column].first()[::-1] / total), list(chosen["accuracy"].mean()[::-1])]
            assert [pytest.approx(each) for each in expected] in lines(axes, style.MAGNITUDE.color, line)
            label = named(axes)[f"magnitude, {'retrained' if recovered else 'as pruned'}"][:2]
            assert label in [pytest.approx(point) for point in zip(*expected, strict=True)]
        assert named(axes)["gaussian, this run"][:2] == pytest.approx((star, 95.0))
        [star_drawn] = [line for line in axes.get_lines() if line.get_marker() == "*"]
        assert star_drawn.get_xydata().tolist() == [pytest.approx([star, 95.0])]
        assert named(axes)["dense, 95.70 %"][1] == 95.7
    assert [axes.get_xlabel() for axes in axes.figure.axes] == ["non-zero weights left", "hidden units left"]


def test_the_speed_up_is_that_of_the_units_and_of_the_compact_network(metrics):
    rows = pd.read_csv("plots/sweep.csv")
    axes, = legible(drawn(sweep_pictures.sweep_speedup, metrics)).axes
    for recovered, line in ((0, "--"), (1, "-")):
        chosen = rows[(rows["method"] == "units") & (rows["recovered"] == recovered)].groupby("share")
        table = pd.DataFrame({"x": chosen["speedup"].first(), "y": chosen["accuracy"].mean()}).sort_values("x")
        assert [pytest.approx(list(table["x"])), pytest.approx(list(table["y"]))] in lines(axes, style.MAGNITUDE.color, line)
        label = next(end[:2] for name, end in named(axes).items() if ("retrained" in name) == recovered and "removed" in name)
        assert label in [pytest.approx(point) for point in zip(table["x"], table["y"], strict=True)]
    assert named(axes)["gaussian, this run,\ntimed in batches of 1,000"][:2] == (6.6, 95.0)
    beside = {text.get_text(): text.xy for text in axes.texts if text.get_text().endswith(" %") and text.arrow_patch is None}
    retrained = rows[(rows["method"] == "units") & (rows["recovered"] == 1) & (rows["share"] == 80)]
    assert beside["80 %"] == pytest.approx((retrained["speedup"].iloc[0], retrained["accuracy"].mean()))


@pytest.mark.parametrize("draw", [sweep_pictures.sweep_curves, sweep_pictures.sweep_speedup])
def test_pictures_do_with_one_share(metrics, draw):
    table = pd.read_csv("plots/sweep.csv")
    table[table["share"] == 50].to_csv("plots/sweep.csv")
    legible(drawn(draw, metrics))
