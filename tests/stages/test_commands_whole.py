"""What measures and draws for the documents, each run as a whole in its shortest form, in a clone with the smoke recipe.

    python -m pytest -m slow tests/stages/test_commands_whole.py"""

import pytest
from test_commands import SHORT
from test_pipeline import working_tree

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run_and_compared(tmp_path_factory):
    """A clone with a commit of its results, and an experiment beside it."""
    clone = working_tree(tmp_path_factory.mktemp("commands") / "clone")
    clone.run("dvc", "repro")
    clone.commit("smoke")
    clone.run("dvc", "exp", "run", "--name", "one", "-S", "recipe=smoke", "-S", "bayesian.snapshots=4")
    return clone


@pytest.mark.parametrize("program", SHORT)
def test_it_ends_well(run_and_compared, program):
    for arguments in SHORT[program]:
        run_and_compared.run(*program.split(), *arguments.split())
