"""The tables of the pipeline's wall time."""

from benchmarks.pipeline import rows_of, side_by_side

RUN = {("all", "dvc repro"): 10.0, ("prune", "training steps"): 4.0, ("sweep", "training steps"): 2.0, ("prune", "import numpy"): 0.05,
       ("prune", "import pandas"): 0.07}


def test_parts_add_up_over_the_stages_and_short_ones_go_to_the_rest():
    seconds = {(row["stage"], row["part"]): row["seconds"] for row in rows_of("new", [RUN, RUN])}
    assert seconds == {("all", "dvc repro"): 10.0, ("every stage", "training steps"): 6.0,
                       ("prune", "training steps"): 4.0, ("sweep", "training steps"): 2.0, ("prune", "the rest"): 0.12}


def test_revisions_stand_side_by_side_even_if_a_part_is_missing():
    old = {key: value for key, value in RUN.items() if key[0] != "sweep"}
    table = {row["part"]: row for row in side_by_side([*rows_of("old", [old]), *rows_of("new", [RUN])])}
    assert table["training steps: sweep"] == {"part": "training steps: sweep", "old, s": None, "new, s": "2 (2 to 2)"}
    assert table["training steps"]["old, s"] == "4 (4 to 4)"
