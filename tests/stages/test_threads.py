"""How OpenMP's threads wait, which has to be settled before torch is loaded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.mark.parametrize(("given", "expected"), [
    ({}, "PASSIVE 1000"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE None"), ({"GOMP_SPINCOUNT": "7"}, "PASSIVE 7")])
def test_what_a_user_has_set_stays(given, expected):
    environment = {key: value for key, value in os.environ.items() if key not in WAITING} | given
    code = f"import os, stages, sys; assert 'torch' not in sys.modules; print(*map(os.environ.get, {WAITING}))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.stdout.strip() == expected, done.stderr
