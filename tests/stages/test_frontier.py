"""A frontier: which experiments it is made of, which of them run, its rows and its picture."""

import csv
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from legible import legible
from matplotlib.colors import to_hex

from sparsify.settings import InputError
from stages import compose, frontier, frontier_picture, frontier_plan
from stages.style import PRIORS

SMOKE = ("recipe=smoke",)


def points(*texts, seeds=(1,), changes=SMOKE):
    return frontier_plan.points([frontier_plan.curve(text) for text in texts], seeds, changes)


def test_points_are_all_targets_of_all_priors_seed_by_seed():
    found = points("gaussian,gate:units=0.4,20", "log_uniform:nonzeros=1e-3", seeds=(2, 1))
    assert [(point.seed, point.kind, point.by, point.target) for point in found] == [
        (seed, *rest) for seed in (2, 1) for rest in (
            ("gaussian", "units", 0.4), ("gaussian", "units", 20), ("gate", "units", 0.4), ("gate", "units", 20),
            ("log_uniform", "nonzeros", 0.001))]
    assert len({point.experiment.name for point in found}) == len(found)


@pytest.mark.parametrize("changes", [
    ("prior.target.macs=0.3",), ("prune.target.macs=0.3",), ("prune.target.units=0.7",), ("prune.threshold=2",),
    ("prune.max_final_drop=0.5",), ("controls.methods=[scratch]",), ("prior.target.units=0.7", "prune.target.units=0.7"),
    ("prior.target.macs=0.3", "prune.target.macs=0.3")], ids=" ".join)
def test_the_cut_is_exact_whatever_the_recipe_has(changes):
    [point] = points("gaussian:units=0.25", changes=(*SMOKE, *changes))
    params = compose.composed(*point.experiment.overrides)
    only_units = {"units": 0.25, "weights": None, "nonzeros": None, "macs": None}
    assert params["prior"]["target"] == params["prune"]["target"] == only_units
    assert (params["prune"]["threshold"], params["prune"]["max_final_drop"], params["controls"]["methods"]) == (None, None, ["magnitude"])


def test_a_name_hangs_on_what_the_stages_read():
    [one], [other_recovery], [other_timing] = (points("gate:units=0.5", changes=(*SMOKE, *more)) for more in (
        (), ("finetune.train.lr=0.1",), ("benchmark.repeats=9",)))
    ends = [point.experiment.name[-8:] for point in (one, other_recovery, other_timing)]
    assert ends[0] == ends[2] != ends[1]
    subprocess.run(["git", "check-ref-format", f"refs/exps/{one.experiment.name}"], check=True)


@pytest.mark.parametrize(("text", "says"), [
    ("gaussian", "is no curve; write PRIOR"), ("gaussian:units", "is no curve"), ("gausian:units=0.4", "gausian is not a prior; choose"),
    ("gaussian,:units=0.4", "nothing is not a prior"), ("gate:neurons=0.4", "neurons is not a measure; choose from units"),
    ("gate:units=0.4,", "0.4, has to be numbers"), ("gate:units=-1", "units is -1"), ("gate:units=nan", "units")])
def test_what_no_stage_would_take_is_refused_before_anything_runs(text, says):
    with pytest.raises(InputError, match=says):
        points(text)


def metrics(point, accuracy, magnitude):
    """Of an experiment that left what its target says, of 400 units and 1,000 weights."""
    left = {"hidden_left": int(400 * point.target), "hidden_total": 400, "weights_left": int(1000 * point.target), "weights_total": 1000,
            "nonzeros_left": int(900 * point.target), "macs_left": int(2000 * point.target), "macs_total": 2000}
    return {"baseline": {"accuracy": 95.0, "validation_accuracy": 96.0}, "bayesian": {},
            "prune": {"accuracy_finetuned": accuracy, "validation_accuracy_finetuned": accuracy + 1, **left},
            "controls": {"magnitude": {"accuracy": magnitude, "validation_accuracy": magnitude + 1, **left}}}


class Runner:
    """Of experiments that leave figures at once; those at `bad` targets fail."""

    def __init__(self, all_points, done=(), bad=(), interrupt=False):
        self.points = {point.experiment.name: point for point in all_points}
        self.finished, self.bad, self.interrupt, self.ran = {point.experiment.name for point in done}, bad, interrupt, []

    def done(self, names):
        return {name: metrics(self.points[name], 94 + self.points[name].seed, 90.0) for name in self.finished}

    def run(self, experiments):
        self.ran = [self.points[experiment.name] for experiment in experiments]
        if self.interrupt:
            raise KeyboardInterrupt
        failed = {point.experiment.name: "error: the target" for point in self.ran if point.target in self.bad}
        self.finished |= {point.experiment.name for point in self.ran} - failed.keys()
        return failed


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "frontier.csv").open() as file:
        return list(csv.DictReader(file))


def draw(all_points, runner, into, **more):
    return frontier.frontier(all_points, runner, into, "units", "validation", "smoke", **more)


def test_only_what_is_not_done_is_run_and_all_is_drawn(tmp_path, capsys):
    every = points("gaussian,gate:units=0.5,0.25", seeds=(1, 2))
    runner = Runner(every, done=every[:3])
    assert draw(every, runner, tmp_path)
    assert runner.ran == every[3:]
    assert [(row["prior"], row["target"], row["seed"], row["method"]) for row in table(tmp_path)] == [
        (point.kind, str(point.target), str(point.seed), method) for point in every for method in (point.kind, "magnitude")]
    assert (tmp_path / "frontier_units.png").read_bytes().startswith(b"\x89PNG")
    assert "3 of 8 experiments are done" in capsys.readouterr().out


def test_a_failure_is_told_and_the_rest_is_drawn(tmp_path, capsys):
    every = points("gaussian:units=0.5,0.25")
    assert not draw(every, Runner(every, bad=(0.25,)), tmp_path)
    assert {row["target"] for row in table(tmp_path)} == {"0.5"}
    assert f"failed: {every[1].experiment.name}: error: the target" in capsys.readouterr().out


def test_an_interruption_leaves_what_is_done(tmp_path):
    every = points("gaussian:units=0.5,0.25")
    with pytest.raises(SystemExit) as ended:
        draw(every, Runner(every, done=every[:1], interrupt=True), tmp_path)
    assert ended.value.code == 130
    assert len(table(tmp_path)) == 2


def test_drawing_alone_runs_nothing(tmp_path):
    every = points("gaussian:units=0.5,0.25")
    runner = Runner(every, done=every[:1])
    assert not draw(every, runner, tmp_path, drawing_alone=True)
    assert runner.ran == []


@pytest.mark.parametrize(("text", "share"), [("gaussian:units=0.25", 0.25), ("gaussian:nonzeros=0.25", 0.225), ("gaussian:macs=40", 80000)])
def test_a_row_has_the_figures_of_its_method_and_what_was_reached(text, share):
    [point] = points(text)
    ours, magnitude = frontier.rows(point, metrics(point, 94.0, 90.0))
    assert (ours["method"], ours["accuracy"], ours["validation_accuracy"]) == ("gaussian", 94.0, 95.0)
    assert (magnitude["method"], magnitude["accuracy"], magnitude["validation_accuracy"]) == ("magnitude", 90.0, 91.0)
    assert (ours["accuracy_dense"], ours["validation_accuracy_dense"]) == (95.0, 96.0)
    assert ours["reached"] == magnitude["reached"] == pytest.approx(share)
    assert list(ours) == list(magnitude)


@pytest.fixture(scope="module")
def panels():
    every = points("gaussian,gate:units=0.5,0.25,0.1", seeds=(1, 2))
    made = [row for point in every for row in frontier.rows(
        point, metrics(point, 94 - 10 * (point.kind == "gate") * point.target + point.seed, 90 - 2 * point.target))]
    return frontier_picture.frontier(pd.DataFrame(made), "units", "test", "smoke").axes


def lines(axes, prior, style):
    [found] = [line for line in axes.get_lines() if to_hex(line.get_color()).upper() == PRIORS[prior].color
               and line.get_linestyle() == style]
    return found


@pytest.mark.parametrize(("prior", "means"), [("gaussian", [95.5, 95.5, 95.5]), ("gate", [94.5, 93.0, 90.5])])
def test_the_picture_has_the_means_of_each_method_where_it_belongs(prior, means, panels):
    levels, differences = panels
    ours, magnitude, above = lines(levels, prior, "-"), lines(levels, prior, "--"), lines(differences, prior, "-")
    for line in (ours, magnitude, above):
        assert list(line.get_xdata()) == pytest.approx([10, 25, 50])
    assert list(ours.get_ydata()) == pytest.approx(means)
    assert list(magnitude.get_ydata()) == pytest.approx([89.8, 89.5, 89])
    assert list(above.get_ydata()) == pytest.approx([mean - other for mean, other in zip(means, [89.8, 89.5, 89], strict=True)])


def test_bands_are_one_deviation_of_the_seeds(panels):
    heights = {prior: band.get_paths()[0].get_extents().height
               for prior, band in zip(("gaussian", "gate"), panels[0].collections, strict=True)}
    assert heights["gaussian"] == pytest.approx(2 * 0.5**0.5)
    assert heights["gate"] == pytest.approx(4 + 2 * 0.5**0.5)


def test_each_line_is_named_at_its_end_and_the_dense_network_is_there(panels):
    levels, differences = panels
    for axes in panels:
        named = {text.get_text(): text for text in axes.texts}
        for prior in ("gaussian", "gate"):
            line = lines(axes, prior, "-")
            assert named[prior].xy == pytest.approx((line.get_xdata()[0], line.get_ydata()[0]))
            assert to_hex(named[prior].arrow_patch.get_edgecolor()) == to_hex(line.get_color())
    legible(levels.figure)
    assert "dense, 95.00 %" in {text.get_text() for text in levels.texts}
    assert levels.get_xscale() == "log" and levels.get_xlim()[0] > levels.get_xlim()[1]
    assert differences.get_xlabel() == "hidden units left"


@pytest.mark.parametrize(("arguments", "says"), [
    (["gaussian:units=0.5", "--seeds", "1,x"], "error: --seeds 1,x: it has to be whole numbers"),
    (["gaussian:units=0.5", "--jobs", "0"], "error: --jobs has to be 1 or more"),
    (["gaussian:units=0.5", "-S", "recipe=none"], "error: recipe is 'none'")])
def test_what_cannot_be_is_one_line(arguments, says, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["frontier", *arguments])
    with pytest.raises(SystemExit, match=says):
        frontier.main()
