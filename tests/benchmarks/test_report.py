"""The arithmetic of the benchmarks; no test here depends on a clock."""

import json

import pytest

from benchmarks import removal, report


@pytest.mark.parametrize("slope", [0.5, 1.0, 2.0])
def test_exponent_of_a_power_law_is_its_exponent(slope):
    sizes = [1e6, 3e6, 1e7, 1e8]
    assert report.exponent(sizes, [7e-6 * size**slope for size in sizes]) == pytest.approx(slope)


def test_exponents_are_fitted_by_network_and_way():
    rows = [{"network": kind, "way": "ours", "parameters": 10.0**power, "removal ms": 10.0**(slope * power)}
            for kind, slope in (("mlp", 1.0), ("vgg16", 0.5)) for power in (6, 7, 8)]
    assert removal.exponents(rows) == {"mlp, ours": 1.0, "vgg16, ours": 0.5}


def test_table_has_a_line_a_row_under_the_first_rows_keys():
    lines = report.table([{"way": "ours", "ms": 1.23456}, {"way": "theirs", "ms": None}]).splitlines()
    assert [cell.strip() for cell in lines[0].split("|")] == ["", "way", "ms", ""]
    assert [cell.strip() for cell in lines[2].split("|")] == ["", "ours", "1.23", ""]
    assert [cell.strip() for cell in lines[3].split("|")] == ["", "theirs", "", ""]
    assert len({len(line) for line in lines}) == 1


def test_results_are_read_back_as_written(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    rows = [{"way": "ours", "ms": 1.5}, {"way": "theirs", "ms": None}]
    report.write("name", {"n": 3}, rows)
    assert json.loads((tmp_path / "name.json").read_text()) == {"provenance": {"n": 3}, "rows": rows}


def test_a_missing_peer_is_left_out_with_a_line_that_says_so(capsys):
    assert report.optional("no_such_peer") is None
    assert "no_such_peer is not installed" in capsys.readouterr().out
