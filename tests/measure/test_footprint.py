"""The peak of each step, of work whose memory is known."""

import os
from pathlib import Path

import pytest
import torch

from sparsify.measure import footprint

MIB = 1 << 20
pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")


def filling(*sizes):
    """Holds ten MiB from its second step on, and for a moment as many more as `sizes` says in each of those after it."""
    imported = torch.ones(100 * MIB, dtype=torch.uint8)  # is there before the first step ends: it does not count
    yield
    held = torch.ones(10 * MIB, dtype=torch.uint8)
    yield
    for size in sizes:
        torch.ones(size * MIB, dtype=torch.uint8)
        yield
    del held, imported


def lost():
    yield
    os._exit(9)


def wrong():
    yield
    raise ValueError("of the work itself")


def test_each_step_has_its_own_peak_above_what_was_there_before():
    found = footprint.peaks({"a": (filling, (50, 5)), "b": (filling, (0, 200))}, at_once=2)
    expected = {"a": [10, 60, 15], "b": [10, 10, 210]}
    for name, peaks in found.items():
        assert [peak / MIB for peak in peaks] == pytest.approx(expected[name], abs=4)


def test_a_process_that_is_lost_has_no_figures_and_takes_no_other_with_it():
    found = footprint.peaks({"lost": (lost, ()), "whole": (filling, ())}, at_once=2)
    assert found["lost"] is None and len(found["whole"]) == 1


def test_an_error_of_the_work_is_raised():
    with pytest.raises(ValueError, match="of the work itself"):
        footprint.peaks({"wrong": (wrong, ())}, at_once=1)


def test_where_the_system_does_not_tell_there_are_no_figures(monkeypatch, tmp_path):
    monkeypatch.setattr(footprint, "_STATUS", tmp_path / "nothing")
    assert footprint._measured(filling, (1,)) is None
