"""Random small networks: a program that hypothesis draws, and a module that runs it."""

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

Step = tuple[str, int, int, int]  # an operation, two values of those so far, and a choice of width or form
WIDTHS = (4, 6, 8)
WIDEST = 24
ACTIVATIONS = (torch.relu, torch.sigmoid, F.gelu, torch.cos, F.hardswish, F.softplus)  # three of six are not zero at zero
FREE = ("convolution", "pointwise", "transposed", "depthwise", "norm", "activation", "sum", "product", "concatenation", "gate", "pool")
BOUND = ("grouped", "chunk", "split", "slice", "shuffle", "roll")  # they count their channels
SHAPE = (2, 4, 4)


def programs(kinds: tuple[str, ...]) -> st.SearchStrategy[tuple[list[Step], bool]]:
    """Steps, and whether the head reads every place of what is left over, or its mean."""
    step = st.tuples(st.sampled_from(kinds), st.integers(0, 9), st.integers(0, 9), st.integers(0, 5))
    return st.tuples(st.lists(step, min_size=2, max_size=9), st.booleans())


class Gate(nn.Module):
    """Squeeze and excitation, with an activation between that is not zero at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(width, 4, 1), nn.Conv2d(4, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.excite(self.squeeze(x.mean((2, 3), keepdim=True)).cos()).sigmoid()


class Drawn(nn.Module):
    """Convolutions on 4 x 4 images that do what a program says; what no step has used goes to the head."""

    def __init__(self, steps: list[Step], is_flat: bool) -> None:
        super().__init__()
        self.steps, self.is_flat = steps, is_flat
        self.stem, self.layers = nn.Conv2d(SHAPE[0], WIDTHS[1], 3, padding=1), nn.ModuleList(nn.Identity() for _ in steps)
        self.head = nn.Identity()
        with torch.no_grad():
            left_over = self._run(torch.zeros(1, *SHAPE), building=True)
        self.head = nn.Linear(left_over.shape[1], 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self._run(x, building=False))

    def _run(self, x: Tensor, building: bool) -> Tensor:
        values, used = [self.stem(x)], set()
        for number, (kind, a, b, choice) in enumerate(self.steps):
            a %= len(values)
            alike = [index for index, value in enumerate(values) if value.shape == values[a].shape]
            b = alike[b % len(alike)] if kind in ("sum", "product") else b % len(values)
            if building:
                self.layers[number] = layer(kind, values[a].shape[1], choice)
            used |= {a, b} if kind in ("sum", "product", "concatenation") else {a}
            values += operate(kind, self.layers[number], values[a], values[b], choice)
        rest = [value for index, value in enumerate(values) if index not in used]
        return torch.cat([value.flatten(1) if self.is_flat else value.mean((2, 3)) for value in rest], 1)


def layer(kind: str, width: int, choice: int) -> nn.Module:
    out = WIDTHS[choice % 3]
    match kind:
        case "convolution":
            return nn.Conv2d(width, out, 3, padding=1, bias=choice < 3)
        case "pointwise":
            return nn.Sequential(nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out))
        case "transposed":
            return nn.ConvTranspose2d(width, out, 3, padding=1)
        case "depthwise":
            return nn.Conv2d(width, width, 3, padding=1, groups=width)
        case "grouped" if width % 2 == 0:
            return nn.Conv2d(width, out, 3, padding=1, groups=2)
        case "norm":
            return nn.BatchNorm2d(width)
        case "gate":
            return Gate(width)
    return nn.Identity()


def operate(kind: str, layer: nn.Module, a: Tensor, b: Tensor, choice: int) -> list[Tensor]:
    """The values that a step adds. What counts channels does nothing to a number of them that it cannot divide."""
    width = a.shape[1]
    match kind:
        case "activation":
            return [ACTIVATIONS[choice](a)]
        case "sum":
            return [a + b]
        case "product":
            return [a * b.sigmoid()]
        case "concatenation" if width + b.shape[1] <= WIDEST:
            return [torch.cat([a, b], 1)]
        case "concatenation":  # of too many: what a step marks as used has to go on
            return [a.relu(), b.relu()]
        case "pool":
            return [F.avg_pool2d(a, 3, 1, 1) if choice % 2 else F.max_pool2d(a, 3, 1, 1)]
        case "chunk":
            return list(a.chunk(2, 1))
        case "split" if width > 1 + choice % 3:
            return list(a.split([1 + choice % 3, width - 1 - choice % 3], 1))
        case "slice":
            return [a[:, ::2], a[:, 1:]] if width > 1 else [a]
        case "shuffle" if width % 2 == 0:
            return [a.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)]
        case "roll":
            return [a.roll(1 + choice, 1)]
    return [layer(a)]
