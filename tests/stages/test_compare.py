"""The comparison of experiments, from what `dvc exp show --json` says."""

import re

import pandas as pd
import pytest

from stages import compare
from stages.page import fronts


def state(revision, kind, seed, **headline):
    metrics = {"metrics/headline.json": {"data": headline}} if headline else {}
    params = {"recipe_name": "default", "seed": seed, "prior": {"kind": kind, "beta": 0.05}}
    return {"rev": revision, "data": {"params": {"params.yaml": {"data": params}}, "metrics": metrics}}


def figures(accuracy, units, latency=0.5):
    return {"accuracy": accuracy, "accuracy_dense": 95.6, "units_left": units, "weights_left": 100 * units, "macs_left": 200 * units,
            "speedup": 8.25, "latency_ms": latency, "calibration_error": 2.5}


SHOWN = [
    {"name": None, **state("workspace", "gaussian", 1, **figures(1, 1)), "experiments": None},
    {"name": "main", **state("a" * 40, "gaussian", 1, **figures(94.5, 45)), "experiments": [
        {"name": "mix", "revs": [{"name": "mix", **state("b" * 40, "mixture", 1, **figures(95.5, 100, 0.7))}]},
        {"name": "gate_1", "revs": [{"name": "gate_1", **state("c" * 40, "gate", 2, **figures(94.0, 60, None))}]},
        {"name": "failed", "revs": [{"name": "failed", **state("d" * 40, "ard", 1)}]},
        {"name": "broken", "revs": None}]},
    {"name": "other", **state("a" * 40, "gaussian", 1, **figures(94.5, 45)), "experiments": None}]


@pytest.fixture
def found():
    return compare.experiments(SHOWN)


def test_experiments_with_a_headline_count_once(found):
    assert [(each.name, each.params["prior.kind"], each.headline["accuracy"]) for each in found] == [
        ("main", "gaussian", 94.5), ("mix", "mixture", 95.5), ("gate_1", "gate", 94.0)]


def test_each_row_has_its_own_figures(found):
    rows = compare.table(found)
    assert [(row["#"], row["experiment"], row["accuracy"], row["dense"], row["units left"], row["latency, ms"]) for row in rows] == [
        (1, "main", 94.5, 95.6, 45, 0.5), (2, "mix", 95.5, 95.6, 100, 0.7), (3, "gate_1", 94.0, 95.6, 60, None)]


def test_the_front_holds_whom_no_other_beats(found):
    rows = compare.table(found)
    assert [row["experiment"] for row in fronts.undominated(rows, "units left")] == ["main", "mix"]
    assert [row["experiment"] for row in fronts.undominated(rows, "latency, ms")] == ["main", "mix"]  # gate was not timed
    assert len(fronts.undominated([rows[0], rows[0]], "units left")) == 2  # equals beat no one


def test_only_what_differs_is_shown(found):
    assert compare.differing(found) == {"seed": ["1", "1", "2"], "prior.kind": ["gaussian", "mixture", "gate"]}


def test_the_page_holds_all_of_it(found):
    curve = pd.DataFrame({"epoch": [1, 2], "validation_accuracy": [90.0, 96.0]})
    html = compare.page(found, {"mix": curve})
    assert "The most accurate is mix with 95.50 % and 10,000 weights; the smallest is main with 4,500 and 94.50 %." in html
    assert "Beaten by no other: main (45, 94.50 %), mix (100, 95.50 %)." in html
    assert "Validation accuracy of mix by epoch; it ends at 96.0 %." in html
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org)| src=", html)
    assert compare.page(found, {"mix": curve}) == html


def test_experiments_on_one_point_are_named_together(found):
    rows = compare.table([*found, found[0]])
    assert fronts._labels(rows, "units left") == {(45, 94.5): "1, 4", (100, 95.5): "2", (60, 94.0): "3"}


def test_one_that_is_the_best_in_both_is_said_so(found):
    assert "The most accurate is main with 94.50 % and 4,500 weights; it is the smallest too." in compare.page([found[0], found[2]], {})


def test_the_table_for_a_paper(found):
    comma, latex = compare.csv_and_latex(compare.table(found))
    assert comma.splitlines()[1].startswith("1,main,default,gaussian,1,94.5,95.6,45,4500,9000,8.25,0.5,2.5")
    lines = latex.splitlines()
    assert lines[0] == r"\begin{tabular}{rlllrrrrrrrrrrr}" and lines[-1] == r"\end{tabular}"
    assert lines[2].startswith(r"\# & experiment & recipe & prior") and r"gate\_1" in lines[6]
    assert lines[4] == r"1 & main & default & gaussian & 1 & 94.5 & 95.6 & 45 & 4,500 & 9,000 & 8.25 & 0.5 & 2.5 & -- & -- \\"


def test_only_commits_that_experiments_started_from_are_asked_for():
    one, two = "a" * 40, "0123456789" * 4
    names = [f"refs/exps/{commit[:2]}/{commit[2:]}/{name}" for commit, name in ((one, "mix"), (two, "gate"), (one, "other"))]
    assert compare.started_from("\n".join([*names, "refs/exps/celery/stash", "refs/exps/exec/EXEC_BRANCH"])) == [one, two]


def test_a_checkout_without_experiments_is_told_so(monkeypatch, capsys):
    monkeypatch.setattr(compare, "_told", lambda *command: "[]")
    monkeypatch.setattr("sys.argv", ["compare"])
    with pytest.raises(SystemExit, match=r"^error: no experiment here has metrics/headline.json; dvc exp run makes one$"):
        compare.main()
