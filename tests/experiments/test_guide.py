"""The table of docs/guide.md, from rows that were made up."""

import pandas as pd

from experiments import guide

ROW = {"prior": "gate", "by": "units", "target": 0.1, "hidden_left": 40, "nonzeros_left": 1000, "macs_left": 2000}


def test_a_line_has_the_prior_and_magnitude_beside_each_other():
    rows = pd.DataFrame([
        ROW | {"method": "gate", "seed": 1, "validation_accuracy": 95.0, "accuracy": 93.0},
        ROW | {"method": "magnitude", "seed": 1, "validation_accuracy": 91.0, "accuracy": 90.0},
        ROW | {"method": "gate", "seed": 2, "validation_accuracy": 97.0, "accuracy": 94.0},
        ROW | {"method": "magnitude", "seed": 2, "validation_accuracy": 91.0, "accuracy": 89.0}])
    head, line = guide.table(rows)
    assert dict(zip(head[:5], line[:5], strict=True)) == {
        "prior": "`gate`", "target": "`units=0.1`", "hidden units": "40", "non-zero weights": "1,000", "MACs": "2,000"}
    assert line[5:] == ["96.00 ± 1.41", "91.00", "93.50 ± 0.71", "89.50 ± 0.71"]


def test_priors_stay_in_the_order_in_which_they_ran():
    rows = pd.DataFrame([ROW | {"prior": prior, "method": method, "validation_accuracy": 90.0, "accuracy": 90.0}
                         for prior in ("mixture", "gate") for method in (prior, "magnitude")])
    assert [line[0] for line in guide.table(rows)[1:]] == ["`mixture`", "`gate`"]
