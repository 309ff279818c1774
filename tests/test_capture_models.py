"""Captured training of models of one's own, and of what cannot be captured."""

import copy
import random
import re

import pytest
import torch
from test_capture import assert_alike, assert_captured_is_eager, network, trained
from torch import nn
from torch.nn import functional as F

from sparsify.capture import WARM_UP
from sparsify.losses import cross_entropy


class Own(nn.Module):
    """Shared weights, a residual, functional calls, buffers in place, a hook that keeps the sample of its pass."""

    def __init__(self):
        super().__init__()
        self.stem, self.block, self.norm, self.head = nn.Conv2d(2, 6, 3), nn.Conv2d(6, 6, 3, padding=1), nn.GroupNorm(2, 6), nn.Linear(6, 3)
        self.register_buffer("passes", torch.zeros(()))
        self.noise_size = nn.Parameter(torch.tensor(0.1))
        self.samples = {}
        self.register_forward_pre_hook(lambda model, _: model.samples.clear())

    def sample(self, like):
        if "z" not in self.samples:
            self.samples["z"] = 1 + self.noise_size * torch.randn(6, device=like.device)
        return self.samples["z"][:, None, None]

    def forward(self, images):
        if self.training:
            self.passes.add_(1)
        x = F.relu(self.stem(images))
        for _ in range(2):
            x = x + F.dropout(F.gelu(self.norm(self.block(x * self.sample(x) if self.training else x))), 0.2, self.training)
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_model_of_ones_own_is_captured(cpu_or_cuda, train_settings, optimizer):
    model = Own().to(cpu_or_cuda)
    assert_captured_is_eager(cpu_or_cuda, train_settings(epochs=4, optimizer=optimizer, lr=1e-3), model=model, tolerance=1e-4)


def test_weights_that_move_between_epochs_are_captured_anew(cpu_or_cuda, silence, train_settings):
    results, asked = [], []

    def make_loss(model, settings):
        loss = cross_entropy(model, settings)
        return lambda batch: asked.append(type(batch.epochs_done)) or loss(batch)
    for captured in (True, False):
        model = network(cpu_or_cuda)

        def evaluate(model=model):
            for parameter in model.parameters():
                parameter.data = parameter.data.clone()
            return {}
        results.append(trained(cpu_or_cuda, train_settings(epochs=4, optimizer="sgd"), captured, model=model, evaluate=evaluate,
                               make_loss=make_loss))
    assert_alike(*results)
    assert asked.count(torch.Tensor) == WARM_UP + 4  # a capture an epoch


def test_no_gradient_outlives_the_training(cpu_or_cuda, train_settings):
    model = network(cpu_or_cuda)
    trained(cpu_or_cuda, train_settings(epochs=2), True, model=model)
    assert all(parameter.grad is None for parameter in model.parameters())


class Waits(nn.Sequential):
    def forward(self, x):
        return super().forward(x * (2 if x.sum().item() > 0 else 1))


class Replaces(nn.Sequential):
    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean()
        return super().forward(x - self.mean)


class DrawsOnTheCpu(nn.Sequential):
    def forward(self, x):
        return super().forward(x * (2 if random.random() < 0.5 else 1))


class BreaksTheCapture(nn.Sequential):
    def forward(self, x):
        torch.cuda.synchronize()
        return super().forward(x * torch.rand_like(x))


@pytest.mark.parametrize(("kind", "cpu_reason", "gpu_reason"), [
    (Waits, "operation not permitted", r"waits for the GPU at .*test_capture_models\.py:\d+"),
    (Replaces, "another tensor in the place of mean", "another tensor in the place of mean"),
    (DrawsOnTheCpu, None, "random numbers on the CPU"), (BreaksTheCapture, None, ".")])
def test_what_cannot_be_captured_says_so_once_and_is_trained_eagerly(cpu_or_cuda, capsys, train_settings, kind, cpu_reason, gpu_reason):
    reason = cpu_reason if cpu_or_cuda.type == "cpu" else gpu_reason
    if reason is None:
        pytest.skip("a GPU's business")
    model, results = kind(nn.Flatten(), nn.Linear(72, 3)).to(cpu_or_cuda), []
    model.register_buffer("mean", torch.zeros((), device=cpu_or_cuda))
    for captured in (True, True, False):
        random.seed(1)
        results.append(trained(cpu_or_cuda, train_settings(epochs=3), captured, model=copy.deepcopy(model)))
    lines = [line for line in capsys.readouterr().err.splitlines() if "CUDA graph" in line]
    assert len(lines) == 1 and re.search(f"cannot be captured as a CUDA graph: .*{reason}", lines[0]), lines
    for result in results[:2]:
        assert_alike(result, results[2])
