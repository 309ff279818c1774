"""dvc.yaml against the imports of its stages: a stage depends on the code that decides its result, and on no other."""

import ast
from functools import cache
from pathlib import Path

import pytest
import yaml

from stages import pipeline

TOP = Path(__file__).parents[2]
PARAMS = yaml.safe_load((TOP / "params.yaml").read_text())
STAGES = pipeline.stages(PARAMS, TOP / "dvc.yaml")
CARRIERS = {  # named in the header of dvc.yaml: their content reaches a result through params and files, which DVC tracks itself
    "stages/params.py", "stages/reading.py", "stages/reports.py", "stages/runtime.py", "sparsify/settings.py", "sparsify/artifacts.py",
    "sparsify/tensorfile.py", "sparsify/checkpoint.py", "sparsify/alike.py", "sparsify/compress/store.py", "sparsify/data/mapped.py",
    "sparsify/data/loaded.py", "sparsify/data/memory.py"}
# What decides data/dataset alone.
SOURCES = {f"sparsify/data/{name}.py" for name in ("named", "folder", "images", "functions", "examples", "writing")}
every_stage = pytest.mark.parametrize("stage", STAGES)


def file_of(module):
    """Of a module or a package of the project, or None."""
    path = Path(*module.split("."))
    files = [str(file) for file in (path.with_suffix(".py"), path / "__init__.py") if path.parts[0] in ("sparsify", "stages")]
    return next((file for file in files if (TOP / file).is_file()), None)


@cache
def imports(path):
    """The project's own files that a file imports, at any depth of its own code; a package where a name comes from the package itself."""
    found = set()
    for node in ast.walk(ast.parse((TOP / path).read_text())):
        if isinstance(node, ast.Import):
            found |= {file_of(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {file_of(f"{node.module}.{alias.name}") or file_of(node.module) for alias in node.names}
    return found - {None}


def closure(stage, stop):
    """All files that the module of a stage imports, and those that they import, but for those in `stop` and what they alone do."""
    found, waiting = set(), {f"stages/{stage}.py"}
    while waiting:
        path = waiting.pop()
        found.add(path)
        waiting |= {each for each in imports(path) if each not in found and each not in stop}
    return {path for path in found if not path.endswith("__init__.py")}


def code(stage):
    """The deps of a stage that are code."""
    return [dep for dep in STAGES[stage].deps if dep.startswith(("sparsify", "stages"))]


def covers(dep, path):
    return path == dep or path.startswith(f"{dep}/")


@every_stage
def test_a_stage_depends_on_all_the_code_that_decides_its_result(stage):
    others = SOURCES if stage != "download" else set()
    missing = {path for path in closure(stage, CARRIERS | others) if not any(covers(dep, path) for dep in code(stage))}
    assert not missing


@every_stage
def test_a_stage_depends_on_no_code_that_it_does_not_run(stage):
    reached = closure(stage, set())
    assert [dep for dep in code(stage) if not any(covers(dep, path) for path in reached)] == []
    assert all((TOP / dep).exists() for dep in code(stage))


def test_the_exceptions_are_named_where_the_deps_are():
    header = (TOP / "dvc.yaml").read_text().split("stages:")[0]
    assert [path for path in CARRIERS if path not in header] == []


def test_another_way_to_measure_time_trains_nothing_again():
    hit = {stage for stage in STAGES if any(covers(dep, "sparsify/measure/latency.py") for dep in code(stage))}
    assert hit == {"benchmark", "sweep"}  # the sweep times what it has trained


def test_another_prior_or_engine_leaves_the_baseline_alone():
    assert not [dep for dep in code("train_baseline") for path in ("sparsify/bayes/priors.py", "sparsify/structure/walk.py",
                                                                   "sparsify/compress/remove.py") if covers(dep, path)]
