"""A flipped bit in any file that the stages hand on is told, in one line that names the file."""

import random

import numpy as np
import pytest
import torch
from torch import nn

import sparsify
from sparsify import artifacts, data, models
from sparsify.artifacts import FileError
from sparsify.settings import InputError

FLIPS = 300


def network(folder):
    path, architecture = folder / "small.safetensors", models.Architecture("mlp", (1, 2, 2), 3, 0.02)
    sparsify.save(architecture.build(), path, architecture=architecture, data={"classes": ["Möwe", "b"]}, gap=1e-12)
    return path, lambda: sparsify.load(path)


def state(folder):
    path = folder / "state.pt"
    artifacts.write_tensors(path, {"parts": {"model": nn.Linear(40, 40).state_dict()}, "curve": [{"epoch": 1, "seconds": 2.5}]})
    return path, lambda: artifacts.read_tensors(path)


def stored(name):
    def save(folder):
        images = data.Raw(torch.randint(0, 256, (60, 1, 6, 6), dtype=torch.uint8), torch.arange(60) % 5)
        data.save(folder / "set", images, images, 10, 0)
        return folder / "set" / name, lambda: data.load(folder / "set")
    return save


@pytest.mark.parametrize("made", [network, state, stored("inputs.npy"), stored("labels.npy"), stored("about.json")],
                         ids=["network", "state", "inputs", "labels", "about"])
def test_every_flipped_bit_is_told(made, tmp_path):
    path, load = made(tmp_path)
    load()
    whole, draw, silent = path.read_bytes(), random.Random(0), []
    for _ in range(FLIPS):
        bit, content = draw.randrange(8 * len(whole)), bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        try:
            load()
            silent.append(bit)
        except InputError as error:
            assert isinstance(error, FileError) and str(tmp_path) in str(error) and "\n" not in str(error)
    assert not silent


def test_rows_that_are_read_by_the_batch_are_taken_as_they_are_and_the_other_files_are_not(tmp_path):
    path, _ = stored("inputs.npy")(tmp_path)
    inputs = np.load(path)
    inputs[0] += 1
    np.save(path, inputs)
    data.load(tmp_path / "set", mapped=True)
    np.save(tmp_path / "set" / "labels.npy", np.zeros(120, dtype=np.int64))
    with pytest.raises(FileError, match=r"labels\.npy is damaged"):
        data.load(tmp_path / "set", mapped=True)
