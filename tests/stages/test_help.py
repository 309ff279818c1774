"""--help and arguments that are none, of every stage."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stages import runtime

REPO = Path(__file__).parents[2]
STAGES = yaml.safe_load((REPO / "dvc.yaml").read_text())["stages"]


def program(stage, *arguments):
    return subprocess.run([sys.executable, "-m", f"stages.{stage}", *arguments], cwd=REPO, capture_output=True, text=True, timeout=120,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})


def test_help_says_what_a_stage_does_reads_and_writes_and_does_nothing():
    done = program("prune", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: python -m stages.prune [-h]\n\nRemoval: masks from the posterior")
    assert done.stdout.rstrip().endswith(runtime._files_of("prune"))


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_stage_reads_and_writes_is_what_dvc_yaml_says(stage, monkeypatch):
    monkeypatch.chdir(REPO)
    said = dict(line.split(": ", 1) for line in runtime._files_of(stage).splitlines())
    content = STAGES[stage]
    written = [out for kind in ("outs", "metrics", "plots") for out in content.get(kind, [])]
    assert said["parameters"] == ", ".join(content["params"])
    assert said["writes"] == ", ".join(out if isinstance(out, str) else next(iter(out)) for out in written)
    assert "stages/" not in said["reads"] and all(dep in said["reads"] for dep in content["deps"] if dep.startswith(("data/", "models/")))


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_starts_by_the_function_that_answers(stage):
    source = (REPO / "stages" / f"{stage}.py").read_text()
    assert source.startswith('"""') and '\nif __name__ == "__main__":\n    runtime.main(' in source


@pytest.mark.parametrize("argument", ["--epochs", "all"])
def test_an_argument_that_is_none_is_refused_in_one_line(argument):
    done = program("prune", argument)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (f"error: unrecognized arguments: {argument}; a stage takes its parameters from params.yaml, "
                           "and no argument but --help\n")
