"""The pictures of the benchmarks show the rows under their own names."""

import json
from pathlib import Path

import pytest
from legible import legible, lines, named

from benchmarks import inference_tables, removal, scaling
from stages import style

RESULTS = Path("benchmarks/results").resolve()


def kept(name):
    return json.loads((RESULTS / f"{name}.json").read_text())


def test_scaling_has_a_line_a_prior_with_its_rows_and_its_exponent():
    rows = kept("scaling")["rows"]
    slopes, axes = scaling.exponents(rows), legible(scaling.picture(rows)).axes
    panels = [(growing, column) for growing in ("weights", "batch") for column in ("ms_median", "peak_mib")]
    for panel, (growing, column) in zip(axes, panels, strict=True):
        for kind in scaling.KINDS:
            chosen = [row for row in rows if (row["step"], row["growing"]) == (kind, growing)]
            points = [[row[growing] for row in chosen], [row[column] for row in chosen]]
            assert points in lines(panel, style.METHODS[kind].color)
            assert named(panel)[f"{kind} {slopes[growing, kind, column]:.2f}"][:2] == (points[0][-1], points[1][-1])


def test_removal_has_a_line_a_network_and_way_with_its_rows():
    rows = kept("removal")["rows"]
    axes, = legible(removal.plot(rows, removal.exponents(rows))).axes
    for network, color in removal.COLORS.items():
        for way, (line, _) in removal.LINES.items():
            chosen = [row for row in rows if (row["network"], row["way"]) == (network, way)]
            points = [[row["parameters"] for row in chosen], [row["removal ms"] for row in chosen]]
            assert points in lines(axes, color, line)
            assert next(end[:2] for name, end in named(axes).items() if name.startswith(f"{network}, {way}:")) == (
                points[0][-1], points[1][-1])


def test_inference_has_a_bar_and_a_point_an_engine_for_every_network():
    rows = kept("inference")["rows"]
    panels = legible(inference_tables.picture(rows)).axes
    networks = list(dict.fromkeys(row["network"] for row in rows))
    assert [text.get_text() for text in panels[0].get_yticklabels()] == networks
    for axes, which in zip(panels, (max, min), strict=True):
        expected = {name: [] for name in ("compact", "onnxruntime compact", "masked dense")}
        for place, network in enumerate(networks):
            batch = which(row["batch"] for row in rows if row["network"] == network)
            found = {row["contender"]: row for row in rows if (row["network"], row["batch"], row["threads"]) == (network, batch, 1)}
            for name, points in expected.items():
                points.append([found[name]["speed-up" if name == "masked dense" else "over its dense"], place])
            assert axes.patches[place].get_x() + axes.patches[place].get_width() == pytest.approx(found["compact"]["by MACs"])
        for name, marker in (("compact", "v"), ("onnxruntime compact", "o"), ("masked dense", "|")):
            assert [line.get_xydata()[0].tolist() for line in axes.get_lines() if line.get_marker() == marker] == expected[name]
