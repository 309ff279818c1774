"""The examples, run as programs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import sparsify
from examples import shapes, table
from examples.own_network import Digits, accuracy
from sparsify import data

TOP = Path(__file__).parent.parent


def test_own_network_ends_small_nearly_as_good_and_as_a_file_that_says_the_same(tmp_path):
    path = tmp_path / "small.safetensors"
    program = [sys.executable, "-m", "examples.own_network", "--out", str(path)]
    run = subprocess.run(program, cwd=TOP, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    results = dict(re.findall(r"^(dense|small): (\S+ parameters, \S+) % of the test", run.stdout, re.M))
    (dense_size, dense), (small_size, small) = ([float(number.replace(",", "")) for number in re.findall(r"[\d.,]*\d", results[name])]
                                                for name in ("dense", "small"))
    assert small_size < 0.5 * dense_size
    assert small > dense - 2 and dense > 95
    assert "loaded again, its logits differ by 0.0" in run.stdout
    loaded, testing = sparsify.load(path, Digits()), data.fetch("mnist-5k", mirror=None, seed=0).test
    assert sum(parameter.numel() for parameter in loaded.parameters()) == small_size
    torch.testing.assert_close(accuracy(loaded, testing.inputs / 255, testing.labels), small, atol=0.051, rtol=0)  # of the one trained


def test_shapes_are_the_same_pictures_for_the_same_seed_and_take_the_place_of_what_was_there(tmp_path):
    def drawn(seed):
        shapes.write(tmp_path / "shapes", {"train": 3, "test": 2}, seed)
        return {path.relative_to(tmp_path / "shapes").as_posix(): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes" / "old.png").touch()
    first = drawn(0)
    assert set(first) == {f"{part}/{name}/00{number}.{'png' if number % 2 else 'jpg'}" for part, count in (("train", 3), ("test", 2))
                          for name in ("circle", "square", "triangle") for number in range(count)}
    assert len(set(first.values())) == len(first)
    assert drawn(0) == first != drawn(1)
    with Image.open(tmp_path / "shapes/train/circle/001.png") as image:
        assert (image.size, image.mode) == ((64, 64), "RGB")


@pytest.mark.parametrize("corners", shapes.CORNERS.values())
def test_shapes_of_all_classes_have_the_area_that_was_drawn(corners):
    class Fixed:
        def uniform(self, low, high, size=None):
            return (low + high) / 2 if size is None else torch.full((size,), (low + high) / 2).numpy()
        normal = staticmethod(lambda mean, deviation, size: 0.0)

    values = torch.frombuffer(bytearray(shapes.picture(corners, Fixed()).tobytes()), dtype=torch.uint8).view(64, 64, 3)[..., 0].double()
    assert ((values - values.min()) / (values.max() - values.min())).sum().item() == pytest.approx(sum(shapes.AREA) / 2, rel=0.02)


def test_the_table_is_all_there_and_no_row_is_in_both_parts():
    (rows, labels), (test_rows, test_labels) = table.load()
    assert (len(rows), len(labels), len(test_rows), len(test_labels), rows.shape[1]) == (400, 400, 169, 169, 30)
    assert not set(rows.index) & set(test_rows.index) and set(labels) == set(test_labels) == {0, 1}
    assert table.network((30,), 2)(torch.randn(5, 30)).shape == (5, 2)
