"""Chains of layers with masks on their units, and the masked network by another way: hooks that put zeros where a layer reads."""

import torch
from torch import nn

from sparsify import models

Seq, ReLU, Flatten = nn.Sequential, nn.ReLU, nn.Flatten
CHAINS = {  # a network, and the shape of one image
    "lenet-300-100": (lambda: models.build("lenet-300-100", (1, 9, 7), 10, 0.1), (1, 9, 7)),
    "mlp": (lambda: models.build("mlp", (3, 5, 5), 3, 0.02), (3, 5, 5)),
    "lenet5": (lambda: models.build("lenet5", (1, 28, 28), 10, 0.2), (1, 28, 28)),
    "vgg16": (lambda: models.build("vgg16", (3, 32, 32), 10, 0.12), (3, 32, 32)),
    "batchnorm1d": (lambda: Seq(
        nn.Conv2d(2, 7, 3, padding=1), nn.BatchNorm2d(7), nn.GELU(), nn.AvgPool2d(2), nn.Conv2d(7, 5, 2, stride=2, padding=1), Flatten(),
        nn.Linear(45, 11), nn.BatchNorm1d(11), ReLU(), nn.Linear(11, 3)), (2, 9, 9)),
    "no-bias": (lambda: Seq(nn.Conv2d(1, 5, 3, bias=False), nn.Tanh(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(5, 6, 3, dilation=2, bias=False),
                            nn.SiLU(), nn.AdaptiveAvgPool2d((3, 2)), Flatten(), nn.Dropout(0.5), nn.Linear(36, 9, bias=False), nn.ELU(),
                            nn.Linear(9, 2, bias=False)), (1, 15, 11)),
    "norm-first": (lambda: Seq(nn.BatchNorm2d(3), nn.Conv2d(3, 6, 3, padding=1), nn.LeakyReLU(), nn.BatchNorm2d(6, affine=False),
                               nn.Conv2d(6, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Identity(), nn.AdaptiveMaxPool2d(2), Flatten(),
                               nn.Linear(16, 3), nn.BatchNorm1d(3)), (3, 7, 5)),
    "flat-norm": (lambda: Seq(Flatten(), nn.BatchNorm1d(30), nn.Linear(30, 8), ReLU(), nn.Linear(8, 3)), (2, 3, 5)),
    "norm-after-flatten": (lambda: Seq(nn.Conv2d(2, 4, 2), Flatten(), nn.BatchNorm1d(16), ReLU(), nn.Linear(16, 2)), (2, 3, 3)),
    "norm-eps": (lambda: Seq(nn.Conv2d(2, 6, 3, padding="same"), nn.BatchNorm2d(6, eps=0.5), ReLU(), nn.Conv2d(6, 3, 1)), (2, 5, 5)),
    "circular-padding": (lambda: Seq(nn.Conv2d(2, 6, 3, padding=1, padding_mode="circular"), ReLU(), nn.Conv2d(6, 3, 3)), (2, 5, 5)),
    "not-zero-at-zero": (lambda: Seq(nn.Conv2d(2, 5, 3), nn.Sigmoid(), nn.BatchNorm2d(5), nn.Softplus(), nn.Conv2d(5, 4, 2), nn.PReLU(4),
                                     Flatten(), nn.Linear(16, 6), nn.Hardsigmoid(), nn.Linear(6, 3), nn.LogSoftmax(1)), (2, 5, 5)),
    "nested": (lambda: Seq(Seq(Flatten(), nn.Linear(12, 9)), Seq(ReLU(), Seq(nn.Linear(9, 7), nn.Hardswish()), nn.Linear(7, 3))),
               (3, 2, 2)),
}


def given(*shape, n=2):
    return torch.randn(n, *shape, dtype=torch.float64)


def pictures():
    return given(1, 28, 28, n=5)


def images(name, n=3, dtype=torch.float64):
    return torch.randn(n, *CHAINS[name][1], dtype=dtype)


def layers(chain):
    """By name, in order, those that multiply by a weight."""
    return {name: layer for name, layer in chain.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)}


def hidden(chain):
    """By name, how many units each layer has but the last."""
    return {name: len(layer.weight) for name, layer in list(layers(chain).items())[:-1]}


def half(n):
    """A mask that keeps a random half, one at least.  -> (n,) bool"""
    kept = torch.rand(n) < 0.5
    kept[torch.randint(n, ())] = True
    return kept


def middle(n):
    """One unit kept."""
    return torch.arange(n) == n // 2


def with_zeros_read(chain, keep):
    """`chain` itself, which from now on reads zeros of the units that are not kept, whatever makes them.  keep: by layer, (units,) bool"""
    for before, after in zip(layers(chain), list(layers(chain).values())[1:], strict=False):
        if before in keep:
            def zeros(layer, args, kept=keep[before]):
                x, = args
                mask = kept.repeat_interleave(x.shape[1] // len(kept))  # a flattened unit is several features in a row
                return x * mask.reshape(-1, *[1] * (x.ndim - 2))
            after.register_forward_pre_hook(zeros)
    return chain


def close(found, expected, tolerance):
    """Equal to `tolerance` times the largest of what is expected, or times one if all are smaller."""
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * max(1, expected.abs().max().item()))
