"""Ten kills, interruptions, terminations and full disks at random moments of a training, and nothing is lost."""

from benchmarks.faults import kills


def test_ten_faults_end_in_the_same_artifacts(tmp_path):
    rows = kills.run(10, 0, tmp_path, places=("stage",), stages=("train_baseline",))
    assert sum(row["tried"] for row in rows) == 10
    assert {row["what"] for row in rows} == {f"{fault}, stage" for fault in kills.FAULTS}
    assert not any(row["broken"] for row in rows), rows
    assert any(row["in time"] for row in rows if row["what"].startswith("SIG"))
    assert next(row["in time"] == row["tried"] for row in rows if row["what"] == "full disk, stage")  # which no moment decides
