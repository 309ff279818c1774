"""What all tests share: a fixed seed, settings with changes, and networks whose every number is random."""

import copy
import dataclasses
import shutil

import host_kernels
import pytest
import torch
from cpu_recorder import CpuRecorder
from plain_settings import PRIOR, TRAIN
from torch import nn

from sparsify import capture
from sparsify.bayes import kernels

torch.set_num_threads(1)  # the networks here are too small to share out


def pytest_ignore_collect(collection_path, config):
    """`-m cuda` does not even import the files that do not speak of it: they may need what a GPU machine lacks."""
    if config.option.markexpr == "cuda" and collection_path.name.startswith("test_") and "cuda" not in collection_path.read_text():
        return True
    return None


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def prior_settings():
    """prior_settings(kind="gate") -> PriorSettings with that change"""
    return lambda **changes: dataclasses.replace(PRIOR, **changes)


@pytest.fixture
def train_settings():
    """train_settings(epochs=0) -> TrainSettings with that change"""
    return lambda **changes: dataclasses.replace(TRAIN, **changes)


CUDA = pytest.param("cuda", marks=[pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")])


@pytest.fixture(params=["cpu", CUDA])
def cpu_or_cuda(request, monkeypatch):
    """A device where training is captured, a CPU too, and sums have one order."""
    if request.param == "cpu":
        monkeypatch.setattr(capture, "recorder_for", lambda _: CpuRecorder())
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    capture._tell.cache_clear()
    return torch.device(request.param)


@pytest.fixture(params=["cpu", CUDA])
def gpu(request, monkeypatch):
    """gpu(thing) -> the thing on a GPU; on a CPU, whose tensors count as a GPU's from here on"""
    if request.param == "cpu" and not shutil.which("c++"):
        pytest.skip("needs a C++ compiler")

    def move(thing):
        if request.param == "cpu":
            monkeypatch.setattr(kernels, "on_gpu", lambda tensor: True)
            monkeypatch.setattr(kernels, "compiled", host_kernels.compiled)
        return copy.deepcopy(thing).to(request.param)
    return move


@pytest.fixture
def silence(monkeypatch):
    """Whatever is drawn from a normal distribution is zero."""
    monkeypatch.setattr(torch, "randn", lambda *size, **how: torch.zeros(*size, **how))
    monkeypatch.setattr(torch, "randn_like", lambda like, **how: torch.zeros_like(like, **how))


@pytest.fixture
def hostile():
    """hostile(model) -> the same model in evaluation and in float64, every weight, bias and BatchNorm statistic drawn at random"""
    @torch.no_grad()
    def randomise(model: nn.Module) -> nn.Module:
        model.double().eval()
        for parameter in model.parameters():
            parameter.normal_(std=2 * parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.3)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.normal_(std=0.3)
                module.running_var.uniform_(0.3, 3)
                if module.affine:
                    module.weight.add_(1)
        return model
    return randomise
