"""The proof travels with the file: its masked twin is in it."""

import subprocess
import sys

import pytest
import torch

import sparsify
from sparsify import models
from sparsify.artifacts import FileError
from sparsify.settings import InputError
from sparsify.structure import analyse
from sparsify.verify import masked_twin, verify


def saved(hostile, path, name, shape):
    architecture = models.Architecture(name, shape, 10, 0.1)
    full, images = hostile(architecture.build()), torch.randn(2, *shape, dtype=torch.float64)
    keep = {stream: torch.arange(each.size) % 2 == 0 for stream, each in analyse(full, images).shrinkable().items()}
    small, report = sparsify.remove(full, images, keep, inputs="input" in keep)
    masked = sparsify.mask(full, images, keep, inputs="input" in keep)
    sparsify.save(small, path, architecture=architecture, gap=report.gap)
    return small, full, masked, images


@pytest.mark.parametrize(("name", "shape"), [("mlp", (1, 4, 4)), ("lenet5", (1, 28, 28)), ("vgg16", (3, 32, 32)), ("resnet20", (3, 8, 8)),
                                             ("vit", (1, 28, 28))])
@torch.no_grad()
def test_the_masked_twin_is_in_the_file(hostile, tmp_path, name, shape):
    path = tmp_path / "small.safetensors"
    small, full, masked, images = saved(hostile, path, name, shape)
    assert torch.allclose(masked_twin(small, full)(images), masked(images), rtol=1e-9, atol=1e-9)
    assert verify(path) <= 1e-9 and verify(path, full, images) <= 1e-9


def test_the_command_says_checksum_and_gap_and_a_flipped_bit(hostile, tmp_path):
    path = tmp_path / "small.safetensors"
    saved(hostile, path, "mlp", (1, 4, 4))
    command = [sys.executable, "-m", "sparsify.verify", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert said.returncode == 0 and "its checksum is right; at the removal it differed" in said.stdout and "; now by" in said.stdout
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    said = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert said.returncode == 1 and said.stderr.count("\n") == 1 and "is damaged: its checksum" in said.stderr
    with pytest.raises(FileError):
        verify(path)


def test_a_network_that_is_not_its_twin_is_told(hostile, tmp_path, monkeypatch):
    path = tmp_path / "small.safetensors"
    saved(hostile, path, "mlp", (1, 4, 4))
    monkeypatch.setattr("sparsify.verify.masked_twin", lambda small, full: full)
    with pytest.raises(InputError, match="differs from its masked twin by"):
        verify(path)
