"""Grids taken apart as DVC does it, names, and the refusal of what a clone elsewhere would not be."""

import subprocess

import pytest
from dvc.utils.hydra import get_hydra_sweeps

from sparsify.settings import InputError
from stages import grid

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("grids", [
    [], ["recipe=smoke", "prior.kind=gaussian,mixture", "prior.beta=0.05,0.1"], ["seed=range(1,4)"], ["benchmark.batch_sizes=[1,16]"],
    ["prior.beta=1e-1,2", "controls.methods=[],[magnitude]"]])
def test_points_are_those_of_dvc_exp_run_queue(grids):
    ours = [list(experiment.overrides) for experiment in grid.experiments(grids, [], COMMIT)]
    assert ours == [point["params.yaml"] for point in get_hydra_sweeps({"params.yaml": grids})]


def name(grids, targets=(), commit=COMMIT):
    [experiment] = grid.experiments(grids, targets, commit)
    return experiment.name


def test_a_name_hangs_on_commit_overrides_and_stages_alone():
    one = name(["prior.kind=mixture", "seed=2"])
    assert one.startswith("kind-mixture-seed-2-")
    assert name(["seed=2", "prior.kind=mixture"]).rsplit("-", 1)[1] == one.rsplit("-", 1)[1] != name(["prior.kind=mixture", "seed=3"])[-8:]
    assert len({one, name(["prior.kind=mixture", "seed=2"], ["prune"]), name(["prior.kind=mixture", "seed=2"], (), COMMIT[::-1])}) == 3


@pytest.mark.parametrize("grids", [["benchmark.batch_sizes=[1,16]", "prior.beta=.5"], [], ["recipe=smoke"] * 9])
def test_a_name_is_one_for_git(grids):
    subprocess.run(["git", "check-ref-format", f"refs/exps/{name(grids)}"], check=True)


@pytest.mark.parametrize(("grids", "targets", "says"), [
    (["prior.kind=gaussian,mixtur"], [], "prior.kind is 'mixtur'"), (["prior.knd=gate"], [], "knd is not a key"),
    (["recipe"], [], "^-S: .*recipe"), (["prior.kind=a,("], [], "^-S: "), (["recipe=smoke,none"], [], "recipe is 'none'"),
    ([], ["prone"], "prone is not a stage")])
def test_what_no_stage_would_take_is_refused_before_anything_runs(grids, targets, says):
    with pytest.raises(InputError, match=says):
        grid.experiments(grids, targets, COMMIT)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """git(...) in a clone whose remotes are in order; also the working directory."""
    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments], check=True, capture_output=True)
    git("init", "--bare", str(tmp_path / "git"))
    git("clone", str(tmp_path / "git"), str(tmp_path / "here"))
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / ".dvc").mkdir()
    (tmp_path / "here" / "dvc.yaml").write_text("stages:\n")

    def configured(text):
        (tmp_path / "here" / ".dvc" / "config").write_text(text)
        git("add", "--all")
        git("commit", "--message", "configured")
        return git
    return configured


STORE = "[core]\n    remote = store\n['remote \"store\"']\n    url = {}\n"


def test_a_start_that_every_machine_can_make(checkout, tmp_path):
    checkout(STORE.format("s3://bucket/folder"))("push", "origin", "HEAD")
    start = grid.start("origin")
    assert (start.url, len(start.commit)) == (str(tmp_path / "git"), 40)
    assert grid.arrived(start) == set()
    name_here = f"refs/exps/{start.commit[:2]}/{start.commit[2:]}/an-experiment"
    subprocess.run(["git", "push", "--quiet", "origin", f"HEAD:{name_here}"], check=True)
    assert grid.arrived(start) == {"an-experiment"}


@pytest.mark.parametrize(("config", "pushed", "edit", "says"), [
    (STORE.format("/data"), False, "", "is not on origin; git push it"), (STORE.format("/data"), True, "\n", "dvc.yaml is not committed"),
    (STORE.format("../data"), True, "", "url '../data', which is another folder in every clone"),
    ("[core]\n", True, "", "no default remote")])
def test_a_start_that_differs_elsewhere_is_refused(config, pushed, edit, says, checkout):
    git = checkout(config)
    if pushed:
        git("push", "origin", "HEAD")
    with open("dvc.yaml", "a") as file:
        file.write(edit)
    with pytest.raises(InputError, match=says):
        grid.start("origin")


def test_a_remote_that_git_does_not_have_is_one_line(checkout):
    checkout("[core]\n")
    with pytest.raises(InputError, match=r"git remote failed: .*nowhere"):
        grid.start("nowhere")
