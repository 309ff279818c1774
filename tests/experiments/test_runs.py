"""Folders of runs made elsewhere: what is read from them, and which are refused."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from test_results import experiment

from experiments import collect, places, runs
from experiments import results as report
from sparsify.settings import InputError

STAGES = {"train_baseline": ["seed", "baseline"], "train_bayesian": ["prior", "prune.inputs"], "prune": ["finetune"], "controls": ["seed"]}


def folder(path: Path, note: bool, controls: bool = True) -> Path:
    """A run's folder, with a note on its stages or with figures and curves that speak for themselves."""
    params, metrics = experiment()
    for name, figures in metrics.items():
        if controls or name != "controls":
            write(path / "metrics" / f"{name}.json", json.dumps({name: {**figures, "seed": 2, "prior": "gate"}}))
    write(path / "params.yaml", yaml.safe_dump(params))
    for curve, epochs in {"baseline": 10, "bayesian": 20, "finetune": 30}.items():
        write(path / "plots" / f"{curve}_curve.csv", f"epoch,nll\n1,0.1\n{epochs},0.05\n")
    if note:
        stages = {name: {"params": {"params.yaml": {key: _at(params, key) for key in keys}}} for name, keys in STAGES.items()}
        write(path / "run.yaml", yaml.safe_dump({"commit": "abc1234", "stages": stages}))
    return path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _at(params, key):
    for part in key.split("."):
        params = params[part]
    return params


@pytest.fixture
def results(tmp_path, monkeypatch):
    """The table that a user's rows go to; there are no experiments."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(collect, "_experiments", list)
    monkeypatch.setattr(collect, "_settings", lambda recipe, changed: collect.fingerprint(experiment()[0]))
    return Path("results/results.csv")


def collected(monkeypatch, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", ["collect", *map(str, arguments)])
    collect.main()


@pytest.mark.parametrize("note", [True, False])
def test_a_folder_gives_the_parameters_and_figures_that_it_holds(note, tmp_path):
    run = runs.read(folder(tmp_path, note))
    params, metrics = experiment()
    assert run.params == params
    assert {name: {key: run.metrics[name][key] for key in metrics[name]} for name in metrics} == metrics
    assert run.commit == ("abc1234" if note else "")


def test_folders_become_rows_with_their_provenance_and_a_second_time_change_nothing(tmp_path, results, monkeypatch, capsys):
    with_note, without = folder(tmp_path / "one", True), folder(tmp_path / "two", False, controls=False)
    params = yaml.safe_load((without / "params.yaml").read_text())
    write(without / "params.yaml", yaml.safe_dump(params | {"seed": 7}))
    for file in without.glob("metrics/*.json"):
        write(file, file.read_text().replace('"seed": 2', '"seed": 7'))
    collected(monkeypatch, "--runs", with_note, without, "--commit", "def5678")
    assert capsys.readouterr().out == ("0 rows from experiments, 4 from folders; results/results.csv has 4, and lost 0 whose recipe has "
                                       "changed\n")
    assert pd.read_csv(results, keep_default_na=False)[["method", "seed", "commit", "device", "accuracy"]].to_numpy().tolist() == [
        ["gate", 2, "abc1234", "cpu", 98.0], ["gate", 7, "def5678", "cpu", 98.0], ["magnitude", 2, "abc1234", "cpu", 97.0],
        ["scratch", 2, "abc1234", "cpu", 97.5]]
    before = results.read_bytes()
    collected(monkeypatch, "--runs", with_note, without, "--commit", "def5678")
    assert results.read_bytes() == before


@pytest.mark.parametrize("chosen", [[], ["--into", "mine/here"]], ids=" ".join)
def test_rows_and_their_tables_stay_in_a_users_own_folder(chosen, tmp_path, results, monkeypatch, capsys):
    kept = {path: path.stat().st_mtime_ns for path in places.DOCS.rglob("*")}
    collected(monkeypatch, "--runs", folder(tmp_path / "one", True), *chosen)
    monkeypatch.setattr(sys, "argv", ["results", *chosen])
    report.main()
    where = Path(chosen[1] if chosen else "results")
    assert capsys.readouterr().out.endswith(f"{where}/results.md from 3 rows\n")
    assert "| `smoke` baseline.epochs=10 " in (where / "results.md").read_text()
    assert sorted(path.name for path in where.iterdir()) == ["results.csv", "results.md"]  # no published figure is of this recipe
    assert kept == {path: path.stat().st_mtime_ns for path in places.DOCS.rglob("*")}


def test_a_recipe_with_published_figures_gets_the_picture_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = pd.read_csv(places.KEPT / collect.TABLE, keep_default_na=False)
    write(Path("results/results.csv"), table[table["recipe"] == "mnist-lenet5"].to_csv(index=False))
    monkeypatch.setattr(sys, "argv", ["results"])
    report.main()
    assert Path("results/headlines.png").is_file()
    assert "| `mnist-lenet5` | 2" in Path("results/results.md").read_text() and "not run" not in Path("results/results.md").read_text()


@pytest.mark.parametrize(("note", "file", "old", "new", "said"), [
    (True, "params.yaml", "epochs: 10", "epochs: 11", "train_baseline did not run with params.yaml; run python -m stages.run train_base"),
    (True, "run.yaml", "train_bayesian", "other", "train_bayesian did not run with params.yaml"),
    (False, "params.yaml", "epochs: 10", "epochs: 11", "baseline_curve.csv has last epoch 10, params.yaml 11; they are not of one run"),
    (False, "params.yaml", "seed: 2", "seed: 3", "metrics/baseline.json has seed 2, params.yaml 3"),
    (False, "metrics/bayesian.json", "gate", "mixture", "has prior mixture, params.yaml gate"),
])
def test_a_folder_of_two_runs_is_refused(note, file, old, new, said, tmp_path):
    path = folder(tmp_path, note) / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputError, match=said):
        runs.read(tmp_path)


@pytest.mark.parametrize("file", ["params.yaml", "metrics/prune.json"])
def test_a_folder_that_lacks_a_file_is_refused_before_anything_is_written(file, tmp_path, results, monkeypatch):
    (folder(tmp_path / "one", True) / file).unlink()
    with pytest.raises(SystemExit, match=rf"^error: .*one has no {file}; a run up to prune leaves it"):
        collected(monkeypatch, "--runs", folder(tmp_path / "two", True), tmp_path / "one")
    assert not results.exists()


def test_a_folder_of_a_recipe_that_is_none_here_is_refused(tmp_path, results, monkeypatch):
    monkeypatch.setattr(collect, "_settings", lambda recipe, changed: "none")
    with pytest.raises(SystemExit, match="is of recipe smoke, which conf/recipe/ does not have"):
        collected(monkeypatch, "--runs", folder(tmp_path / "one", True))
