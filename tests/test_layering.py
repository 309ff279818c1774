"""Who may import whom: the library's direction, read from its source."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
SOURCES = sorted([*TOP.glob("sparsify/**/*.py"), *TOP.glob("stages/**/*.py")])
LIBRARY = [path for path in SOURCES if path.is_relative_to(TOP / "sparsify")]
PACKAGES = ("bayes", "compress", "measure")  # side by side; structure is below them
# The face, and what brings bayes, compress and measure together.
ABOVE = {"__init__.py", "compaction.py", "cuts.py", "budget.py", "verify.py", "task.py", "shrinking.py",
         "shrink_checks.py", "shrink_report.py", "shrink_state.py"}
SURROUNDINGS = {"environ", "environb", "getenv", "getcwd", "chdir", "cwd", "home", "expanduser", "argv"}
each_of = lambda paths: pytest.mark.parametrize("path", paths, ids=lambda path: str(path.relative_to(TOP)))  # noqa: E731


def imported(source, package=""):
    """Every module and name that is imported, at any depth, in full: 'sparsify.bayes.kl'; `package` resolves relative imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[:len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imports_of(path):
    return list(imported(path.read_text(), ".".join(path.relative_to(TOP).parent.parts)))


def within(name, module):
    return name == module or name.startswith(f"{module}.")


def test_imports_are_found_in_every_form():
    source = "import a.b\ndef f():\n    from c import d\nfrom . import e\nfrom ..g import h\nfrom .i import j"
    assert set(imported(source, "sparsify.bayes")) == {"a.b", "c.d", "sparsify.bayes.e", "sparsify.g.h", "sparsify.bayes.i.j"}


def test_the_sources_are_where_these_tests_look():
    assert {path.parent.name for path in SOURCES} == {"sparsify", "stages", "structure", "data", "models", "page", *PACKAGES}


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_never_import_one_another(package):
    others = [f"sparsify.{other}" for other in PACKAGES if other != package]
    for path in (TOP / "sparsify" / package).glob("*.py"):
        assert not [name for name in imports_of(path) for other in others if within(name, other)], path


@each_of([path for path in LIBRARY if path.parent.name == "sparsify" and path.name not in ABOVE])
def test_leaves_import_no_package(path):
    assert not [name for name in imports_of(path) for package in ("structure", *PACKAGES) if within(name, f"sparsify.{package}")]


@each_of([path for path in LIBRARY if path.parent.name == "structure"])
def test_structure_imports_nothing_else_of_the_library_but_its_errors(path):
    found = [name for name in imports_of(path) if within(name, "sparsify") and not within(name, "sparsify.structure")]
    assert not [name for name in found if not within(name, "sparsify.settings")]


@each_of([path for path in LIBRARY if path.parent.name != "sparsify" or path.name not in ABOVE])
def test_nothing_below_imports_what_is_above(path):
    face = {alias for node in ast.parse((TOP / "sparsify/__init__.py").read_text()).body if isinstance(node, ast.ImportFrom)
            for alias in (name.name for name in node.names)}
    above = [f"sparsify.{name.removesuffix('.py')}" for name in ABOVE - {"__init__.py"}]
    assert not [name for name in imports_of(path) if any(within(name, each) for each in above) or name.removeprefix("sparsify.") in face]


def test_only_what_is_above_brings_bayes_and_compress_together():
    both = [path.name for path in LIBRARY if all([any(within(name, f"sparsify.{package}") for name in imports_of(path))
                                                  for package in ("bayes", "compress")])]
    assert "compaction.py" in both and set(both) <= ABOVE


@each_of(LIBRARY)
def test_the_library_sees_no_stages_yaml_or_dvc(path):
    assert not [name for name in imports_of(path) for module in ("stages", "yaml", "dvc", "dvclive") if within(name, module)]


@each_of(LIBRARY)
def test_the_library_never_sends_its_user_to_a_pipeline(path):
    """Who has only the package can do nothing with a message that says dvc repro."""
    assert "dvc" not in path.read_text().lower()


def test_stages_start_without_torchvision():
    """It takes longer to import than torch, and only the reader of its files needs it."""
    code = "import sys, stages.download, stages.prune, stages.plot; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=TOP).returncode == 0


@each_of(LIBRARY)
def test_the_library_sees_neither_environment_nor_working_directory(path):
    tree = ast.parse(path.read_text())
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not (attributes | {name.rsplit(".", 1)[-1] for name in imports_of(path)}) & SURROUNDINGS


@each_of([path for path in SOURCES if path not in LIBRARY])
def test_stages_import_no_dvc(path):
    assert not [name for name in imports_of(path) for module in ("dvc", "dvclive") if within(name, module)]


@pytest.mark.parametrize("lower", [
    ("kl", "priors"), ("priors", "layers"), ("priors", "groups"), ("layers", "groups"), ("groups", "gates"), ("gates", "attach"),
    ("coverage", "attach"), ("attach", "convert"), ("groups", "objective")])
def test_formulas_know_nothing_of_layers(lower):
    below, above = lower
    assert not [name for name in imports_of(TOP / f"sparsify/bayes/{below}.py") if within(name, f"sparsify.bayes.{above}")]
