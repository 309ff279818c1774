"""A kill, an interruption, a termination and a full disk at random moments of a training, and nothing is lost."""

import pytest

from benchmarks.faults import kills


@pytest.mark.slow
def test_a_fault_of_each_kind_ends_in_the_same_artifacts(tmp_path):
    rows = kills.run(len(kills.FAULTS), 0, tmp_path, places=("stage",), stages=("train_baseline",))
    assert [row["tried"] for row in rows] == [1] * len(kills.FAULTS)
    assert {row["what"] for row in rows} == {f"{fault}, stage" for fault in kills.FAULTS}
    assert not any(row["broken"] for row in rows), rows
    assert next(row["in time"] for row in rows if row["what"] == "full disk, stage") == 1  # which no moment decides
