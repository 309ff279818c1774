"""The examples, run as programs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import torch

import sparsify
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
    loaded, (_, testing) = sparsify.load(path, Digits()), data.fetch("mnist-5k", mirror=None, seed=0)
    assert sum(parameter.numel() for parameter in loaded.parameters()) == small_size
    torch.testing.assert_close(accuracy(loaded, testing.images / 255, testing.labels), small, atol=0.051, rtol=0)  # of the one trained
