"""Every command that a document shows is one: its program takes the arguments, its keys, recipes, stages and targets exist.

WHOLE names what runs each program as a whole: a test, a slow one, or .ci/run.
SHORT is what tests/stages/test_commands_whole.py runs, which somebody has to ask for."""

import argparse
import importlib
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import documented
import pytest
import yaml
from dvc.cli import DvcParserError

from stages import runtime

TOP = documented.TOP
STAGES = yaml.safe_load((TOP / "dvc.yaml").read_text())["stages"]
RECIPES = {path.stem for path in (TOP / "conf" / "recipe").glob("*.yaml")} | {"NAME", "mine"}  # of yours
ROOMS = ("stages", "sparsify", "benchmarks", "experiments")
WHOLE = {  # by program: the file that runs it, and the words there
    "make repro": (".ci/run", "\nmake --assume-old=.venv/installed repro\n"),
    "make test": (".ci/run", "make test"), "make lint": (".ci/run", "make lint"),
    "make mend": ("tests/stages/test_mend.py", "mend.mend()"), "python -m stages.mend": ("tests/stages/test_mend.py", "mend.mend()"),
    "dvc repro": ("tests/stages/test_pipeline.py", '"dvc", "repro"'),
    "dvc exp run": ("tests/stages/test_pipeline.py", '"dvc", "exp", "run"'),
    "dvc metrics diff": ("tests/stages/test_pipeline.py", '"dvc", "metrics", "diff"'),
    "dvc queue": ("tests/stages/test_frontier_runs.py", '"queue", "start"'),
    "torchrun": ("tests/stages/test_torchrun.py", "torch.distributed.run"),
    "python -m stages.compare": ("tests/stages/test_pipeline.py", '"stages.compare"'),
    "python -m stages.run": ("tests/stages/test_run_smoke.py", '"stages.run"'),
    "python -m stages.cluster": ("tests/stages/test_cluster.py", "cluster."),
    "python -m stages.frontier": ("tests/stages/test_frontier_runs.py", '"stages.frontier"'),
    "python -m sparsify.verify": ("tests/test_verify.py", '"sparsify.verify"'),
    "make setup": (".ci/run", "\nmake lint\n"),  # which needs it
    "dvc push": ("tests/stages/test_concurrency.py", '"push"'), "dvc pull": ("tests/stages/test_concurrency.py", '"pull"'),
    "dvc --wait-for-lock": ("tests/stages/test_concurrency.py", '"--wait-for-lock"')}
SHORT = {  # by program: what tests/stages/test_commands_whole.py gives it, to be done in seconds
    "python -m stages.carve": ["--into plots/small.webp --most 100"],
    "dvc plots diff": ["HEAD one"], "dvc exp apply": ["one"], "dvc exp show": ["--only-changed --drop /"],
    "python -m experiments.collect": ["", "--docs"], "python -m experiments.results": ["", "--docs"],
    "python -m experiments.guide": [""], "python -m experiments.sweeps": [""], "python -m experiments.vgg16": [""],
    "python -m experiments.structure_pictures": [""],
    "python -m experiments.orders": ["--docs", "--priors gate --seeds 1 -S recipe=smoke --name smoke"],
    "python -m experiments.targets": ["--docs", "--priors gate --seeds 1 -S recipe=smoke"],
    "python -m benchmarks.faults": ["--kills 0 --cases 9"],
    "python -m benchmarks.inference": ["--dense models/baseline.safetensors --compact models/compact.safetensors --repeats 1 --threads 1"],
    "python -m benchmarks.memory": ["--threads 1 --point 0.25 2 dense"],
    "python -m benchmarks.outputs": [". ."],
    "python -m benchmarks.pieces": ["--rounds 1 -S recipe=smoke"],
    "python -m benchmarks.pipeline": ["--repeats 1"],
    "python -m benchmarks.removal": ["--scaling mlp --repeats 1 --threads 1", "--networks mlp --threads 1"],
    "python -m benchmarks.scaling": ["--widths 0.5 1 --batch-sizes 8 16 --batch-size 8 --rounds 1 --threads 1"],
    "python -m benchmarks.schedule": ["--recipe smoke --batch-sizes 64 --lengths 1 --precisions float32 --target-accuracy 1 "
                                      "--target-hidden 400"],
    "python -m benchmarks.training": ["--threads 1 --rounds 1 --steps 1 --batch-sizes 8 --only gate", "--threads 1 --profile gate"]}


COMMANDS = [*documented.commands(), *(documented.Command("SHORT", (*program.split(), *shlex.split(arguments)))
                                      for program, each in SHORT.items() for arguments in each)]


class Accepted(Exception):
    pass


def by(program):
    return [pytest.param(command, id=str(command)) for command in COMMANDS if command.words[0] == program]


def overrides(words):
    """The values of all -S."""
    return [value for option, value in pairwise(words) if option in ("-S", "--set-param")]


@pytest.mark.parametrize("command", [pytest.param(each, id=str(each)) for each in COMMANDS if overrides(each.words)])
def test_every_key_that_is_set_exists(command):
    keys = yaml.safe_load((TOP / "params.yaml").read_text())
    for key, _, value in (override.partition("=") for override in overrides(command.words)):
        if key == "recipe":
            assert value in RECIPES
            continue
        place = keys
        for part in key.split("."):
            place = place[part]
        assert value and not isinstance(place, dict)


@pytest.mark.parametrize("command", by("make"))
def test_make_has_the_target(command):
    targets = re.findall(r"^([\w/.-]+):(?! \w+ =)", (TOP / "Makefile").read_text(), re.M)
    assert [word for word in command.words[1:] if "=" not in word and word not in targets] == []


def test_make_animations_makes_those_of_the_documents():
    said = subprocess.run(["make", "-n", "animations"], cwd=TOP, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"(docs/carved[\w-]*\.webp)\"", said)) == {f"docs/{path.name}" for path in (TOP / "docs").glob("carved*.webp")}


@pytest.mark.parametrize("command", by("dvc"))
def test_dvc_takes_the_arguments(command):
    from dvc.cli.parser import get_main_parser  # imports for a second

    if len(command.words) == 3 and command.words[1] == "exp" and command.words[2] != "run":  # the name of one, in prose
        with pytest.raises(SystemExit, match=r"^0$"):
            get_main_parser().parse_args([*command.words[1:], "--help"])
        return
    found = get_main_parser().parse_args(list(command.words[1:]))
    if command.words[1] == "repro" or command.words[1:3] == ("exp", "run"):
        assert set(found.targets or ()) <= {*STAGES, "STAGE"}


@pytest.mark.parametrize("command", [*by("python"), *by("torchrun")])
def test_a_module_takes_the_arguments(command, monkeypatch, capsys):
    place = command.words.index("-m")
    name, arguments = command.words[place + 1], [word.removesuffix("...") for word in command.words[place + 2:]]
    if name in ("pytest", "stages.NAME"):
        assert [path for path in arguments if not path.startswith("-") and not (TOP / path).exists()] == []
        return
    assert name.split(".")[0] in ROOMS
    monkeypatch.chdir(TOP)
    stage = name.removeprefix("stages.")
    module = importlib.import_module(name if stage in STAGES or not _is_package(name) else f"{name}.__main__")
    if stage in STAGES:  # which take none
        assert arguments == [] and callable(runtime.main)
        return
    if "ArgumentParser" not in Path(module.__file__).read_text():
        assert arguments == []
        return
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser, *given):
        raise Accepted(parse(parser, *given))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.setattr(sys, "argv", [name, *("2" if word == "N" else word for word in arguments)])
    with pytest.raises(Accepted):
        module.main()


def _is_package(name):
    return (TOP.joinpath(*name.split(".")) / "__main__.py").is_file()


def program_of(command):
    words = command.words
    if words[0] == "python":
        return " ".join(words[:3])
    return words[0] if words[0] == "torchrun" else " ".join(words[:3 if words[1] in ("exp", "metrics", "plots") else 2])


@pytest.mark.parametrize("program", WHOLE)
def test_what_is_said_to_run_a_program_does(program):
    file, words = WHOLE[program]
    assert words in (TOP / file).read_text()


def test_every_program_that_is_shown_is_run_as_a_whole():
    free = {"dvc cache", "dvc config", "dvc exp pull", "dvc exp push", "dvc remote",  # DVC's own
            "python -m pytest", "python -m stages.NAME", "make animations"}  # any of many; a training and stages.carve
    assert {program_of(command) for command in COMMANDS} - free - set(WHOLE) - set(SHORT) == set()


def test_no_program_is_run_as_a_whole_that_no_page_shows():
    assert (set(SHORT) | set(WHOLE)) - {program_of(command) for command in documented.commands()} == set()


@pytest.mark.parametrize(("words", "check"), [
    ("make reprise", test_make_has_the_target), ("dvc exp run -S prior.kin=gate", test_every_key_that_is_set_exists),
    ("dvc exp run -S recipe=mnst", test_every_key_that_is_set_exists), ("dvc exp run prun", test_dvc_takes_the_arguments),
    ("dvc exp rum", test_dvc_takes_the_arguments)])
def test_a_command_that_is_wrong_is_found(words, check):
    with pytest.raises((AssertionError, KeyError, DvcParserError)):
        check(documented.Command("here", tuple(words.split())))


@pytest.mark.parametrize("words", ["stages.carve --inot x", "stages.run --processes many", "stages.frontier -S recipe=default"])
def test_an_argument_that_is_none_is_found(words, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        test_a_module_takes_the_arguments(documented.Command("here", ("python", "-m", *words.split())), monkeypatch, capsys)
