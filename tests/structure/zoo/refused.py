"""Networks that nothing can leave, and networks that cannot be looked through."""

import torch.nn.functional as F
from torch import Tensor, nn


class DataDependentBranch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        if x.sum() > 0:  # the line to be named
            x = x.relu()
        return self.two(x)


class ReadsItem(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.one(x))
        return self.two(x) if x.max().item() > 3 else x[:, :2]  # the line to be named


UNSEEN = {"branch": DataDependentBranch, "item": ReadsItem}  # both read (N, 4)
EMPTY = {"one_layer": lambda: nn.Linear(4, 3), "no_weights": lambda: nn.Sequential(nn.ReLU(), nn.Flatten()),
         "norm_alone": lambda: nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 2))}
