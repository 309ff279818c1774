"""The pipeline without DVC: what runs, what is skipped and why, and what the folder holds that is taken home.

The stages here copy a number about, in milliseconds; the real ones run in test_run_smoke.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sparsify.settings import InputError
from stages import pipeline, run

REPO = Path(__file__).parents[2]
SCRIPT = """import sys, yaml
from pathlib import Path
key, source, *outs = sys.argv[1:]
value = yaml.safe_load(Path('params.yaml').read_text())[key]
if value == 'bad':
    sys.exit(3)
with open('ran', 'a') as log:
    log.write(key + ' ')
for out in outs:
    Path(out).parent.mkdir(exist_ok=True)
    Path(out).write_text(f'{value} of {Path(source).read_text()}')
"""
DVC_YAML = """stages:
  last: # stands before what it reads from
    cmd: python step.py c models/b metrics/c.json
    deps: [step.py, models/b]
    params: [c]
    metrics: [metrics/c.json: {cache: false}]
  first:
    cmd: python step.py a lib/one models/a metrics/a.json plots/a.csv
    deps: [step.py, lib]
    params: [a]
    outs: [models/a, metrics/a.json: {cache: false}]
    plots: [plots/a.csv: {cache: false, x: epoch}]
  second:
    cmd: python step.py b models/a models/b
    deps: [step.py, models/a]
    params: [b]
    outs: [models/b]
"""


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("lib").mkdir()
    for name, text in {"step.py": SCRIPT, "dvc.yaml": DVC_YAML, "lib/one": "lib", "params.yaml": "{a: 1, b: 2, c: 3}"}.items():
        Path(name).write_text(text)


def ran(*names: str, **more) -> str:
    """The stages that a run ran, by their letters."""
    Path("ran").write_text("")
    run.run(names, **more)
    return Path("ran").read_text().replace(" ", "")


def put(**params) -> None:
    Path("params.yaml").write_text(yaml.safe_dump({"a": 1, "b": 2, "c": 3, **params}))


def test_stages_run_behind_what_they_read_and_once():
    assert ran() == "abc"
    assert Path("metrics/c.json").read_text() == "3 of 2 of 1 of lib"
    assert ran() == ""


def test_a_named_stage_brings_what_it_reads_from_and_nothing_else():
    assert ran("second") == "ab"
    assert ran("last") == "c"


@pytest.mark.parametrize(("change", "again"), [
    (lambda: put(c=4), "c"),
    (lambda: put(b=4), "bc"),
    (lambda: put(b=4, c=4), "bc"),
    (lambda: put(other=1), ""),
    (lambda: Path("lib/one").write_text("other"), "abc"),
    (lambda: Path("lib/two").write_text("new"), "a"),  # its output is as before: nothing behind it runs
    (lambda: Path("models/b").unlink(), "b"),
    (lambda: Path("models/a").write_text("of another run"), "a"),
    (lambda: Path("dvc.yaml").write_text(DVC_YAML.replace("step.py c", "./step.py c")), "c"),
], ids=["own parameter", "parameter before", "both", "parameter of none", "file in a folder", "new file in a folder", "output gone",
        "output changed", "command"])
def test_what_changes_decides_what_runs_again(change, again):
    ran()
    change()
    assert ran() == again


@pytest.mark.parametrize(("change", "same"), [
    (lambda: put(c=4), True),
    (lambda: put(b=4), False),
    (lambda: Path("lib/one").write_text("other"), False),
    (lambda: Path("models/a").write_text("of another run"), True),
    (lambda: Path("models/b").unlink(), True),
    (lambda: Path("dvc.yaml").write_text(DVC_YAML.replace("step.py b", "./step.py b")), False),
], ids=["parameter of another stage", "parameter", "file", "what one writes and one reads", "output gone", "command"])
def test_a_fingerprint_hangs_on_what_decides_and_not_on_what_was_made(change, same):
    def now() -> str:
        params = yaml.safe_load(Path("params.yaml").read_text())
        return pipeline.fingerprint(pipeline.needed(pipeline.stages(params), ["second"]), params)
    ran("second")
    before = now()
    change()
    assert (now() == before) is same


def test_a_change_behind_a_link_is_seen_and_links_may_go_in_circles():
    Path("elsewhere").mkdir()
    Path("elsewhere/file").write_text("1")
    Path("lib/link").symlink_to("../elsewhere")
    Path("lib/up").symlink_to("..")
    Path(os.fsdecode(b"lib/\xff")).write_text("a name that is not UTF-8")
    before = pipeline.digest(Path("lib"))
    assert pipeline.digest(Path("lib")) == before
    Path("elsewhere/file").write_text("22")
    assert pipeline.digest(Path("lib")) != before


def test_compiled_files_in_a_folder_do_not_count():
    ran()
    Path("lib/__pycache__").mkdir()
    Path("lib/__pycache__/one.pyc").write_text("")
    assert ran() == ""


def test_the_folder_holds_parameters_reports_and_the_note():
    assert ran(into=Path("home")) == "abc"
    files = sorted(str(path.relative_to("home")) for path in Path("home").rglob("*") if path.is_file())
    assert files == ["metrics/a.json", "metrics/c.json", "params.yaml", "plots/a.csv", "run.yaml"]
    assert Path("home/params.yaml").read_bytes() == Path("params.yaml").read_bytes()
    note = yaml.safe_load(Path("home/run.yaml").read_text())
    assert note["commit"] == ""  # there is no git here
    assert note["stages"]["last"]["params"] == {"params.yaml": {"c": 3}}


def test_reports_of_stages_that_did_not_run_with_these_parameters_stay_behind():
    ran()
    put(c=4)
    ran("second", into=Path("home"))
    assert not Path("home/metrics/c.json").exists()
    assert set(yaml.safe_load(Path("home/run.yaml").read_text())["stages"]) == {"first", "second"}


def test_a_folder_of_other_parameters_is_refused_before_anything_runs():
    ran(into=Path("home"))
    put(a=5)
    with pytest.raises(InputError, match="home holds a run with other parameters; name another folder"):
        ran(into=Path("home"))
    assert Path("ran").read_text() == ""


def test_a_stage_that_fails_ends_the_run_and_leaves_what_was_done(capfd):
    put(b="bad")
    with pytest.raises(SystemExit) as caught:
        ran(into=Path("home"))
    assert caught.value.code == 3
    assert capfd.readouterr().err == "second failed with status 3; give the same command again once that is mended\n"
    assert Path("home/metrics/a.json").exists() and not Path("models/b").exists()
    put()
    assert ran() == "bc"


def test_two_runs_at_once_in_one_checkout_are_refused():
    Path("step.py").write_text(f"import subprocess, sys\nsys.exit(subprocess.run([sys.executable, '-m', 'stages.run'], env={{'PYTHONPATH': "
                               f"{str(REPO)!r}}}, stderr=open('said', 'w')).returncode)")
    with pytest.raises(SystemExit):
        ran()
    assert Path("said").read_text().startswith("error: another stages.run is at work in this checkout")


@pytest.mark.parametrize(("change", "said"), [
    (lambda: Path("dvc.yaml").write_text(DVC_YAML + "    foreach: [1]\n"), "second of dvc.yaml needs DVC: it has foreach"),
    (lambda: Path("dvc.yaml").write_text(DVC_YAML.replace("[step.py, lib]", "[metrics/c.json]")), "goes in a circle"),
    (lambda: Path("params.yaml").write_text("{a: 1}"), "params.yaml has no b, which the stage second reads"),
    (lambda: Path("lib/one").rename("one") and Path("lib").rmdir(), "lib, which the stage first reads, does not exist"),
    (lambda: Path("dvc.yaml").write_text(DVC_YAML.replace("outs: [models/a,", "outs: [models/a, models/z,")), "did not write models/z"),
    (lambda: Path("dvc.yaml").unlink(), "dvc.yaml does not exist here"),
    (lambda: Path("params.yaml").unlink(), "params.yaml does not exist here"),
], ids=["needs DVC", "circle", "no parameter", "no dependency", "no output", "no pipeline", "no params"])
def test_what_cannot_be_run_is_said_in_one_line(change, said):
    change()
    with pytest.raises(InputError, match=said) as caught:
        run.run()
    assert "\n" not in str(caught.value)


def test_an_unknown_stage_is_answered_with_all_of_them():
    with pytest.raises(InputError, match="never is not a stage; choose from first, second, last"):
        run.run(["never"])


def test_every_stage_of_the_projects_own_pipeline_is_understood():
    stages = pipeline.stages(yaml.safe_load((REPO / "params.yaml").read_text()), REPO / "dvc.yaml")
    assert next(iter(stages)) == "download" and next(reversed(stages)) == "report"
    assert {"plots/threshold_scan.csv", "metrics/prune.json"} <= set(stages["prune"].reports)
    assert [stage.name for stage in pipeline.needed(stages, ["prune"])] == ["download", "train_baseline", "train_bayesian", "prune"]


def test_a_dependency_is_what_the_parameter_says_and_the_stage_of_a_folder_that_makes_it_runs_first():
    Path("dvc.yaml").write_text('stages: {read: {cmd: python read.py, deps: ["${data.path}"], outs: [out]}}')
    Path("drawn").mkdir()
    Path("drawn/dvc.yaml").write_text("stages: {draw: {cmd: python draw.py, wdir: .., outs: [drawn/images]}}")
    for path, expected in (("drawn/images", ["draw", "read"]), ("elsewhere", ["read"])):
        found = pipeline.stages({"data": {"path": path}})
        assert (list(found), found["read"].deps) == (expected, (path,))
    with pytest.raises(InputError, match=r"params.yaml has no data.path, which dvc.yaml reads"):
        pipeline.stages({})


def test_stages_that_train_are_started_in_several_processes_and_the_others_in_one(monkeypatch):
    started = []

    def shell(command, shell):
        started.append(command.removeprefix(sys.executable))
        for path in ("models/a", "metrics/c.json"):
            Path(path).parent.mkdir(exist_ok=True)
            Path(path).write_text("")
        return subprocess.CompletedProcess(command, 0)
    Path("dvc.yaml").write_text("""stages:
  download: {cmd: python -m stages.download, outs: [models/a]}
  prune: {cmd: python -m stages.prune, deps: [models/a], metrics: [metrics/c.json]}""")
    monkeypatch.setattr(subprocess, "run", shell)
    run.run(count=4)
    assert started == [" -m stages.download", " -m torch.distributed.run --standalone --nproc-per-node 4 -m stages.prune"]


def test_the_commit_is_told_and_so_is_code_that_was_changed_since(workspace):
    def git(*arguments):
        return subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments], check=True, capture_output=True,
                              text=True).stdout.strip()
    git("init", "--quiet")
    git("add", "dvc.yaml", "params.yaml")
    git("commit", "--quiet", "--message", "first")
    assert run.commit() == git("rev-parse", "--short", "HEAD")
    put(a=7)
    assert run.commit() == git("rev-parse", "--short", "HEAD")
    Path("dvc.yaml").write_text("stages: {}")
    assert run.commit() == git("rev-parse", "--short", "HEAD") + "-dirty"


def test_the_program_composes_params_runs_and_says_errors_in_one_line():
    done = subprocess.run([sys.executable, "-m", "stages.run", "-S", "recipe=smoke"], env={"PYTHONPATH": str(REPO)}, capture_output=True,
                          text=True)
    assert done.returncode == 1
    assert done.stderr == "error: conf/config.yaml does not exist here; run in the top directory of the project\n"
