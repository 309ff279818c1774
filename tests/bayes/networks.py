"""Small networks that are no chains, for what a prior on streams has to get right."""

import torch
from torch import Tensor, nn


class Branches(nn.Module):
    """Two writers of one stream, two readers of it.  (N, 3) -> (N, 4), (N, 4)

    The readers are identities until something trains them, so that in training their outputs show the gates' draws."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(3, 4), nn.Linear(3, 4)
        self.left, self.right = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.fails = False
        with torch.no_grad():
            for reader in (self.left, self.right):
                reader.weight.copy_(torch.eye(4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = (self.one(x) + self.other(x)).abs()
        left = self.left(hidden)
        if self.fails:
            raise RuntimeError("in the middle")
        return left, self.right(hidden)


class Residual(nn.Module):
    """A residual stream of three writers and four readers; the last reads another one beside it.  (N, 3, 6, 6) -> (N, 4)"""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(4, n, 3, padding=1), nn.ReLU(), nn.Conv2d(n, 4, 1)) for n in (5, 3))
        self.wide = nn.Conv2d(4, 6, 3, stride=2)
        self.fc = nn.Linear(4 + 6 * 4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x)).relu()
        for block in self.blocks:
            x = x + block(x)
        return self.fc(torch.cat([x.mean((2, 3)), self.wide(x).relu().flatten(1)], 1))


class Shuffled(nn.Module):
    """A grouped convolution, channels shuffled, a transposed one with groups, a layer used twice.  (N, 2, 5, 5) -> (N, 3)"""

    def __init__(self):
        super().__init__()
        self.first, self.grouped, self.mixed = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 6, 3, groups=2), nn.Conv2d(6, 4, 1)
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2, groups=2)
        self.again, self.fc = nn.Conv2d(4, 4, 1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.grouped(self.first(x).relu()).relu()
        x = x.unflatten(1, (2, 3)).transpose(1, 2).flatten(1, 2)
        x = self.up(self.mixed(x).relu()).relu()
        return self.fc(self.again(self.again(x).relu()).mean((2, 3)))


class Split(nn.Module):
    """One layer whose rows are two streams, one of which cannot leave.  (N, 3) -> (N, 2), (N, 3)"""

    def __init__(self):
        super().__init__()
        self.both, self.fc = nn.Linear(3, 7), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden, out = self.both(x).split([4, 3], 1)
        return self.fc(hidden.relu()), out


class Functional(nn.Module):
    """A stream whose reader is no layer.  (N, 3) -> (N, 2)"""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(3, 5), nn.Linear(5, 4)
        self.last = nn.Parameter(torch.randn(2, 4))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(self.fc2(self.fc1(x).relu()).relu(), self.last)


EXAMPLES = {Branches: (2, 3), Residual: (2, 3, 6, 6), Shuffled: (2, 2, 5, 5), Split: (2, 3), Functional: (2, 3)}


def example(network: nn.Module) -> Tensor:
    return torch.randn(EXAMPLES[type(network)], dtype=next(network.parameters()).dtype)
