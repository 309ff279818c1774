"""The wheel, in an environment that holds what it asks for and nothing else: the library without DVC, YAML or the pipeline."""

import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
EXTRAS = {"digits"}  # for the data of the example


def needed(name, extras=frozenset()):
    """The distributions that one asks for here, and those that they ask for, by name."""
    found, waiting = set(), [(name, extras)]
    while waiting:
        distribution, wanted = waiting.pop()
        for line in metadata.requires(distribution) or ():
            requirement, _, marker = line.partition(";")
            other = re.match(r"[\w.-]+", requirement.strip())[0]
            extra = re.search(r"extra == ['\"]([\w-]+)", marker)
            if (extra is None or extra[1] in wanted) and other not in found and _installed(other):
                found.add(other)
                waiting.append((other, frozenset()))
    return found


def _installed(name):
    try:
        return bool(metadata.distribution(name))
    except metadata.PackageNotFoundError:  # of another system or Python
        return False


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """clean(program): Python with the wheel and what it needs, linked from here, in an empty folder."""
    folder = tmp_path_factory.mktemp("wheel")
    for path in ("pyproject.toml", "README.md", "LICENSE"):  # a copy, as a build leaves files behind
        shutil.copy(TOP / path, folder / path)
    for room in ("sparsify", "stages"):
        shutil.copytree(TOP / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, folder],
                   check=True, timeout=300)
    [wheel] = folder.glob("*.whl")
    site = folder / "site"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel], check=True, timeout=300)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        names = needed("sparsify", EXTRAS)
    for name in names:
        distribution = metadata.distribution(name)
        for top in {path.parts[0] for path in distribution.files or () if path.parts[0] not in ("..", "__pycache__")}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(distribution.locate_file(top))).resolve())
    away = tmp_path_factory.mktemp("away")
    return lambda program: subprocess.run([sys.executable, "-S", "-c", f"import sys; sys.path.append({str(site)!r}); {program}"],
                                          cwd=away, env={"OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
                                          capture_output=True, text=True, timeout=600)


@pytest.mark.slow
def test_the_wheel_is_the_library_with_its_types_and_nothing_else(clean):
    done = clean("import sparsify, pathlib; top = pathlib.Path(sparsify.__file__).parent; "
                 "print(top.parent.name, (top / 'py.typed').is_file(), (top.parent / 'stages').exists())")
    assert (done.stdout, done.returncode) == ("site True False\n", 0), done.stderr


@pytest.mark.slow
def test_the_example_runs_without_dvc(clean):
    done = clean("sys.argv = ['own_network', '--out', 'small.safetensors']; import runpy; "
                 f"runpy.run_path({str(TOP / 'examples' / 'own_network.py')!r}, run_name='__main__'); assert 'dvc' not in sys.modules")
    assert done.returncode == 0, done.stderr
    assert "times fewer" in done.stdout


@pytest.mark.slow
def test_what_is_not_installed_is_missing_there(clean):
    assert "No module named 'dvc'" in clean("import dvc").stderr
