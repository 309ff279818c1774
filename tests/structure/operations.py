"""Operations and layers to put between two layers, one rule of the structure each."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Between(nn.Module):
    """A layer, an operation on its output, and a layer that reads what comes out of it."""

    def __init__(self, first: nn.Module, op: Callable[[Tensor], Tensor], reader: Callable[[Tensor], nn.Module], *shape: int) -> None:
        super().__init__()
        self.first, self.op = first, op
        self.reader = reader(op(first(torch.randn(2, *shape))))

    def forward(self, x: Tensor) -> Tensor:
        return self.reader(self.op(self.first(x)))


def conv(x: Tensor) -> nn.Module:
    return nn.Conv2d(x.shape[1], 3, 1)


def linear(x: Tensor) -> nn.Module:
    return nn.Linear(x.shape[-1], 3)


OPERATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], nn.Module]]] = {  # of (N, 6, 4, 4), and what reads it
    "relu": (torch.relu, conv),
    "gelu": (F.gelu, conv),
    "sigmoid": (torch.sigmoid, conv),
    "where": (lambda x: torch.where(x > 0, x, -2 * x), conv),
    "scalars": (lambda x: (2 - x) / 3 + x.pow(2), conv),
    "clamp": (lambda x: x.clamp(-1, 1), conv),
    "dropout": (lambda x: F.dropout2d(x, 0.5, False), conv),
    "max pool": (lambda x: F.max_pool2d(x, 2), conv),
    "average pool": (lambda x: F.avg_pool2d(x, 3, 2, 1), conv),
    "adaptive pools": (lambda x: F.adaptive_avg_pool2d(x, 3) + F.adaptive_max_pool2d(x, 3), conv),
    "mean over places": (lambda x: x.mean((2, 3)), linear),
    "largest place": (lambda x: x.amax((2, 3)), linear),
    "sum over rows": (lambda x: x.sum(2).flatten(1), linear),
    "softmax over places": (lambda x: x.flatten(2).softmax(2).unflatten(2, (4, 4)), conv),
    "normalised over places": (lambda x: x / (1 + x.abs().sum((2, 3), keepdim=True)), conv),
    "instance norm": (lambda x: F.instance_norm(x.relu()), conv),
    "product with its pool": (lambda x: x * x.mean((2, 3), keepdim=True), conv),
    "nearest": (lambda x: F.interpolate(x, scale_factor=2), conv),
    "bilinear": (lambda x: F.interpolate(x, size=(5, 7), mode="bilinear", align_corners=False), conv),
    "zero padding": (lambda x: F.pad(x, (1, 2, 0, 1)), conv),
    "reflection": (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), conv),
    "flatten": (lambda x: x.flatten(1), linear),
    "view": (lambda x: x.view(x.shape[0], -1), linear),
    "channels last": (lambda x: x.permute(0, 2, 3, 1), linear),
    "channels last, flat": (lambda x: x.permute(0, 2, 3, 1).reshape(x.shape[0], -1), linear),
    "concatenation with itself": (lambda x: torch.cat([x.relu(), x], 1), conv),
    "stack": (lambda x: torch.stack([x, x.cos()], 2).flatten(1, 2), conv),
    "repeat": (lambda x: x.repeat(1, 2, 1, 1), conv),
    "repeat each": (lambda x: x.repeat_interleave(2, 1), conv),
    "expand": (lambda x: x.mean((2, 3), keepdim=True).expand(-1, -1, 3, 3), conv),
    "transposed image": (lambda x: x.transpose(2, 3).contiguous(), conv),
    "rolled image": (lambda x: x.roll((1, 1), (2, 3)), conv),
    "squeeze": (lambda x: x.unsqueeze(1).squeeze(1), conv),
    "space to depth": (lambda x: F.pixel_unshuffle(x, 2), conv),
    "turned channels": (lambda x: x + x.flip(1), conv),
    "rolled channels": (lambda x: x + x.roll(2, 1), conv),
    "halves": (lambda x: torch.mul(*x.chunk(2, 1)), conv),
    "glu": (lambda x: F.glu(x, 1), conv),
    "part of the channels": (lambda x: torch.cat([x[:, 4:], x[:, :4].relu()], 1), conv),
}
LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {  # with the shape of its input
    "linear": (lambda: nn.Linear(6, 4), (6,)),
    "linear without bias": (lambda: nn.Linear(6, 4, bias=False), (6,)),
    "linear on tokens": (lambda: nn.Linear(6, 4), (5, 6)),
    "convolution": (lambda: nn.Conv2d(6, 4, 3, padding=1), (6, 4, 4)),
    "strided and dilated": (lambda: nn.Conv2d(6, 4, 3, 2, dilation=2, padding=2), (6, 4, 4)),
    "circular padding": (lambda: nn.Conv2d(6, 4, 3, padding=1, padding_mode="circular"), (6, 4, 4)),
    "1d": (lambda: nn.Conv1d(6, 4, 3), (6, 7)),
    "3d": (lambda: nn.Conv3d(6, 4, 2), (6, 3, 3, 3)),
    "transposed": (lambda: nn.ConvTranspose2d(6, 4, 3, 2), (6, 4, 4)),
    "transposed 1d": (lambda: nn.ConvTranspose1d(6, 4, 3), (6, 4)),
    "transposed 3d": (lambda: nn.ConvTranspose3d(6, 4, 2), (6, 2, 2, 2)),
    "depthwise": (lambda: nn.Conv2d(6, 6, 3, padding=1, groups=6), (6, 4, 4)),
    "depthwise 1d": (lambda: nn.Conv1d(6, 6, 3, groups=6, bias=False), (6, 5)),
    "depthwise, two kernels each": (lambda: nn.Conv2d(6, 12, 3, groups=6), (6, 4, 4)),
    "depthwise transposed": (lambda: nn.ConvTranspose2d(6, 6, 2, groups=6), (6, 3, 3)),
    "grouped": (lambda: nn.Conv2d(6, 9, 3, groups=3), (6, 4, 4)),
    "grouped transposed": (lambda: nn.ConvTranspose2d(6, 9, 3, groups=3), (6, 4, 4)),
    "batch norm": (lambda: nn.BatchNorm2d(6), (6, 4, 4)),
    "batch norm 1d": (lambda: nn.BatchNorm1d(6), (6,)),
    "batch norm without affine": (lambda: nn.BatchNorm2d(6, affine=False), (6, 4, 4)),
    "prelu": (lambda: nn.PReLU(6), (6, 4, 4)),
}
STATISTICS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {  # of (N, 6), over its units; and the word for it
    "softmax": (lambda x: x.softmax(-1), "softmax"),
    "layer norm": (lambda x: F.layer_norm(x, (6,)), "layer_norm"),
    "group norm": (lambda x: F.group_norm(x, 2), "group_norm"),
    "mean": (lambda x: x - x.mean(1, keepdim=True), "mean"),
    "largest": (lambda x: x / x.amax(1, keepdim=True), "amax"),
    "length": (lambda x: F.normalize(x, dim=1), "norm"),
    "running sum": (lambda x: x.cumsum(1), "cumsum"),
    "sorted": (lambda x: x.sort(1).values, "sort"),
    "spectrum": (lambda x: torch.fft.rfft(x, dim=1).abs(), "fft"),
}


def around(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A network of a layer, this one and a last one, with activations between; and the shape of its input."""
    build, shape = LAYERS[name]
    layer = build()
    if isinstance(layer, nn.Linear) or len(shape) == 1:
        first, last = nn.Linear(2, 6), nn.Linear(layer(torch.zeros(2, *shape)).shape[-1], 3)
        return nn.Sequential(first, nn.ReLU(), layer, nn.Sigmoid(), last), (*shape[:-1], 2)
    point = {2: nn.Conv1d, 3: nn.Conv2d, 4: nn.Conv3d}[len(shape)]
    width = layer.eval()(torch.zeros(2, *shape)).shape[1]
    return nn.Sequential(point(2, 6, 1), nn.ReLU(), layer, nn.Sigmoid(), point(width, 3, 1)), (2, *shape[1:])
