"""Figures and tables of other stages that are cut, merged or changed: one line that names the file, before anything is drawn."""

import json
import shutil
from pathlib import Path

import pytest

from sparsify.artifacts import FileError
from stages import params, plot, reports

REPO = Path(__file__).parents[2]
MERGED = "<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> main\n"


@pytest.fixture(autouse=True)
def committed(tmp_path, monkeypatch):
    """A copy of the committed metrics and tables."""
    for folder in ("metrics", "plots"):
        shutil.copytree(REPO / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.png"))
    monkeypatch.chdir(tmp_path)


def refused(call):
    with pytest.raises(FileError) as caught:
        call()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_the_committed_reports_are_taken():
    metrics, tables = plot.read()
    assert metrics["prune"]["accuracy_finetuned"] > 50
    assert set(tables) == set(plot.TABLES)


@pytest.mark.parametrize("name", plot.FIGURES)
@pytest.mark.parametrize("content", ["", "{", "[]", "3", "null", '{"prune": 3}', "[" * 100_000, "\xff", MERGED], ids=lambda text: text[:9])
def test_figures_that_cannot_be_read_are_named(name, content):
    path = Path(f"metrics/{name}.json")
    path.write_bytes(content.format(path.read_text(), path.read_text()).encode("latin1") if content is MERGED else content.encode("latin1"))
    assert refused(plot.read).startswith(f"metrics/{name}.json ")


@pytest.mark.parametrize("value", [None, "95", float("nan"), float("inf"), [1], {"a": 1}, True], ids=str)
@pytest.mark.parametrize(("stage", "key"), [(stage, key) for stage, keys in plot.FIGURES.items() for key in keys])
def test_a_figure_that_is_no_number_is_named_with_its_key(stage, key, value):
    path = Path(f"metrics/{stage}.json")
    content = json.loads(path.read_text())
    *sections, last = key.split(".")
    place = content[stage]
    for section in sections:
        place = place[section]
    place[last] = value
    path.write_text(json.dumps(content))
    assert f"as {key}; it has to be a finite number" in refused(plot.read)


@pytest.mark.parametrize(("stage", "change", "said"), [
    ("benchmark", {"speedup": {}}, "as speedup"), ("benchmark", {"speedup": {"batch_x": 1}}, "as speedup"),
    ("benchmark", {"speedup": {"batch_1": {"median": 0}}}, "above 0"), ("sweep", {"weights": 3}, "where the plateau of weights"),
    ("sweep", {"units": {"pruned": {"plateau_percent": "x"}}}, "units.pruned.plateau_percent"),
    ("prune", {"compression_nonzeros": 0}, "above 0")])
def test_figures_of_another_form_are_named(stage, change, said):
    path = Path(f"metrics/{stage}.json")
    content = json.loads(path.read_text())
    content[stage] |= change
    path.write_text(json.dumps(content))
    assert said in refused(plot.read)


@pytest.mark.parametrize("name", plot.TABLES)
@pytest.mark.parametrize("change", [lambda text: "", lambda text: text[:20], lambda text: text.splitlines()[0] + "\n",
                                    lambda text: MERGED.format(text, text), lambda text: text.replace(",", ";"),
                                    lambda text: text + 'x,"',
                                    lambda text: text.splitlines()[0] + "\n" + ",".join("x" for _ in text.splitlines()[0].split(",")),
                                    lambda text: text.rstrip().rpartition(",")[0]],
                         ids=["empty", "cut", "no rows", "merged", "semicolons", "open quote", "words", "short row"])
def test_tables_that_cannot_be_read_are_named(name, change):
    path = Path(f"plots/{name}.csv")
    path.write_text(change(path.read_text()))
    assert refused(plot.read).startswith(f"plots/{name}.csv ")


def test_no_picture_is_written_where_one_cannot_be_drawn(monkeypatch):
    def fails(*_):
        raise OverflowError("too large for an axis")
    monkeypatch.setattr(plot, "sweep_speedup", fails)  # the last
    pictures = sorted(Path("plots").glob("*.png"))
    assert refused(lambda: plot.plot(params.load(REPO / "params.yaml"))).startswith("plots/sweep_speedup.png cannot be drawn ")
    assert sorted(Path("plots").glob("*.png")) == pictures


def test_a_cell_is_named_with_its_line():
    path = Path("plots/units.csv")
    path.write_text(path.read_text().replace("input,784,784", "input,784,many"))
    assert refused(lambda: reports.table(path, "total kept", "layer")) == (
        "plots/units.csv has 'many' as kept in line 2; it has to be a finite number")
