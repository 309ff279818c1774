"""The whole pipeline under DVC, in a clone of the working tree as it is: run, not run again, and experimented with."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
import torch
import yaml
from test_recipes import compose

from sparsify import data
from sparsify.compress import store

REPO = Path(__file__).parents[2]
STAGES = ["download", "train_baseline", "train_bayesian", "prune", "controls", "export", "benchmark", "uncertainty", "sweep", "plot",
          "headline", "report"]


class Clone(NamedTuple):
    """A working tree, and the command line that a user of it has, with one thread and without a mirror."""

    root: Path

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "DVC_", "SPARSIFY_", "PYTHONPATH"))}
        path = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
        done = subprocess.run(command, cwd=self.root, env=environment | {"PATH": path, "OMP_NUM_THREADS": "1"},
                              capture_output=True, text=True, timeout=300)
        assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done

    def metrics(self, stage: str) -> dict:
        return json.loads((self.root / "metrics" / f"{stage}.json").read_text())[stage]

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)


def working_tree(root: Path) -> Clone:
    """The working tree as it is, in a clone at `root`, with the smoke recipe."""
    clone = Clone(root)
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", REPO.as_uri(), clone.root], check=True)  # DVC looks through all commits
    for key, value in {"user.name": "test", "user.email": "test@localhost", "commit.gpgsign": "false"}.items():
        clone.run("git", "config", key, value)
    listed = subprocess.run(["git", "-C", REPO, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):  # what is not committed yet counts too
        if (REPO / name).is_file():
            (clone.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPO / name, clone.root / name)
        else:
            (clone.root / name).unlink(missing_ok=True)
    for name in ("dvc.lock", "metrics/headline.json"):  # of other parameters, and their results are not here
        (clone.root / name).unlink(missing_ok=True)
    compose(clone.root / "params.yaml", "recipe=smoke", "prior.kind=gaussian")
    clone.run("git", "add", "--all")
    clone.run("git", "commit", "--quiet", "--amend", "--message", "the working tree, with the smoke recipe")  # the first there is
    return clone


@pytest.fixture(scope="session")
def clone(tmp_path_factory):
    return working_tree(tmp_path_factory.mktemp("pipeline") / "a clone")


@pytest.fixture(scope="session")
def reproduced(clone):
    """What `dvc repro` said, and said when it was run again; and the metrics of prune."""
    first = clone.run("dvc", "repro").stdout
    clone.commit("smoke")
    return first, clone.run("dvc", "repro").stdout, clone.metrics("prune")


@pytest.fixture(scope="session")
def mixed(clone, reproduced):
    """What `dvc exp run` said with the mixture prior; its results are in the working tree."""
    return clone.run("dvc", "exp", "run", "--name", "mix", "-S", "recipe=smoke", "-S", "prior.kind=mixture").stdout


def stages_run(said: str) -> list[str]:
    return [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage '")]


def accuracy(clone, model: str) -> float:
    test = data.load(clone.root / "data" / "dataset").test
    with torch.no_grad():
        answers = store.load(clone.root / "models" / f"{model}.safetensors")(test[:]).argmax(1)
    return 100 * (answers == test.labels).double().mean().item()


def test_repro_runs_every_stage_in_order(reproduced):
    assert stages_run(reproduced[0]) == STAGES


def test_second_repro_runs_nothing(reproduced):
    assert stages_run(reproduced[1]) == []
    assert "up to date" in reproduced[1]


def test_other_prior_reuses_the_data_the_baseline_and_the_sweep(mixed):
    assert stages_run(mixed) == [stage for stage in STAGES if stage not in ("download", "train_baseline", "sweep")]


def test_every_artifact_is_there_and_locked(clone, mixed):
    lock = yaml.safe_load((clone.root / "dvc.lock").read_text())["stages"]
    paths = [out["path"] for stage in STAGES for out in lock[stage].get("outs", [])]
    assert {"data/dataset", "models/compact.safetensors", "metrics/prune.json", "plots/units.csv", "metrics/uncertainty.json",
            "plots/rejection.csv", "plots/rejection.png", "metrics/sweep.json", "plots/sweep.csv", "plots/sweep_mean.csv",
            "models/export", "plots/latency.csv", "plots/latency.png", "plots/sweep.png", "plots/sweep_speedup.png",
            "report.html"} <= set(paths)
    assert [path for path in paths if not (clone.root / path).stat().st_size] == []


@pytest.mark.parametrize(("model", "stage", "key"), [("baseline", "baseline", "accuracy"), ("compact", "prune", "accuracy_finetuned")])
def test_saved_network_has_the_accuracy_in_its_metrics(model, stage, key, clone, mixed):
    assert accuracy(clone, model) == pytest.approx(clone.metrics(stage)[key], abs=0.11)  # one of 1,000 images may be a tie


def test_the_bayesian_network_learns_from_labels_and_from_the_dense_ones_answers(clone, mixed):
    curve = pd.read_csv(clone.root / "plots" / "bayesian_curve.csv")
    assert (curve[["nll", "distillation", "kl"]] > 0).all(axis=None)


def test_compact_network_has_the_size_in_its_metrics(clone, mixed):
    networks = (store.load(clone.root / "models" / f"{name}.safetensors") for name in ("baseline", "compact"))
    dense, compact = (sum(parameter.numel() for parameter in network.parameters() if parameter.ndim > 1) for network in networks)
    assert compact == clone.metrics("prune")["weights_left"]
    assert compact < dense


def test_sweep_starts_from_the_baseline_and_counts_what_it_leaves(clone, reproduced):
    with open(clone.root / "plots" / "sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    dense = store.load(clone.root / "models" / "baseline.safetensors")
    widths, features = [60, 20], 784  # the smoke recipe's, before the logits
    assert [layer.out_features for layer in dense if isinstance(layer, torch.nn.Linear)] == [*widths, 10]
    for row in rows:
        share = float(row["share"]) / 100
        if row["method"] == "weights":
            inner = [features * widths[0], widths[0] * widths[1]]
            assert int(row["nonzeros_left"]) == sum(n - round(share * n) for n in inner) + widths[1] * 10
            assert (row["speedup"], row["hidden_left"]) == ("", "80")
        else:
            first, second = (n - round(share * n) for n in widths)
            assert int(row["hidden_left"]) == first + second
            assert int(row["macs_left"]) == features * first + first * second + second * 10
            assert float(row["speedup"]) > 0
        if share == 0 and row["recovered"] == "0":
            assert float(row["accuracy"]) == pytest.approx(clone.metrics("baseline")["accuracy"], abs=0.11)
    points = [(row["method"], row["share"], row["recovered"], row["seed"]) for row in rows]
    assert points == [(method, share, recovered, seed) for method in ("weights", "units") for share in ("0.0", "50.0", "90.0")
                      for recovered, seed in (("0", ""), ("1", "1"), ("1", "2"))]


def test_metrics_diff_shows_the_headline_of_both_priors(clone, reproduced, mixed):
    said = clone.run("dvc", "metrics", "diff", "--all", "HEAD", "mix").stdout.splitlines()
    rows = {cells[1]: cells[2:4] for cells in map(str.split, said[1:])}
    assert len(rows) <= 15
    shown = [float(value) for value in rows["accuracy_cut"]]
    assert shown == pytest.approx([reproduced[2]["accuracy_compact"], clone.metrics("prune")["accuracy_compact"]], abs=1e-4)


def test_compare_has_the_commit_and_the_experiment(clone, reproduced, mixed):
    said = clone.run(sys.executable, "-m", "stages.compare").stdout
    assert said.endswith(f" experiments: {clone.root / 'compare' / 'compare.html'}\n")
    rows = pd.read_csv(clone.root / "compare" / "compare.csv")  # the committed run of the default recipe may be among them
    for prior, expected in (("gaussian", reproduced[2]), ("mixture", clone.metrics("prune"))):
        found = rows.loc[rows["prior"] == prior, "accuracy"]
        assert any(value == pytest.approx(expected["accuracy_finetuned"], abs=1e-4) for value in found), (prior, list(found))
    shutil.rmtree(clone.root / "compare")


def test_collect_makes_rows_of_the_experiment_and_its_controls(clone, mixed):
    said = clone.run(sys.executable, "-m", "experiments.collect").stdout
    assert "3 rows from experiments" in said
    with (clone.root / "results" / "results.csv").open(newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"mixture", "magnitude", "scratch"}
    assert {(row["recipe"], row["overrides"], row["seed"]) for row in rows.values()} == {("smoke", "prior.kind=mixture", "1")}
    pruned, controls = clone.metrics("prune"), clone.metrics("controls")
    assert float(rows["mixture"]["accuracy"]) == pruned["accuracy_finetuned"]
    for method in ("magnitude", "scratch"):
        assert float(rows[method]["accuracy"]) == controls[method]["accuracy"]
        assert int(rows[method]["weights_left"]) == controls[method]["weights_left"] == pruned["weights_left"]
    assert clone.run(sys.executable, "-m", "experiments.results").stdout == "results/results.md from 3 rows\n"
    assert not clone.run("git", "status", "--porcelain", "docs").stdout
    shutil.rmtree(clone.root / "results")


@pytest.mark.parametrize(("override", "named"), [("recipe=nonsense", "nonsense"), ("prior.knd=mixture", "knd")])
def test_unknown_recipe_or_key_is_refused_before_anything_runs(override, named, clone, mixed):
    done = clone.run("dvc", "exp", "run", "-S", override, check=False)
    assert done.returncode != 0
    assert named in done.stderr
    assert stages_run(done.stdout) == []
