"""Ten kills of single stages at random moments, and nothing is lost."""

from benchmarks.faults import kills


def test_ten_kills_end_in_the_same_artifacts(tmp_path):
    rows = kills.run(10, 0, tmp_path, places=("stage",), stages=("download", "train_baseline", "train_bayesian"))
    assert sum(row["tried"] for row in rows) == 10 and {row["what"] for row in rows} == {f"{fault}, stage" for fault in kills.FAULTS}
    assert not any(row["broken"] for row in rows), rows
