"""Networks that other tools get wrong or cannot take: each is cut rightly, or kept; no matter which units are asked for."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.structure.zoo.case import Case, images


class Between(nn.Module):
    """A convolution, what `act` makes of its channels, a convolution, and a head."""

    def __init__(self, n_out: int = 12, n_in: int | None = None, groups: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(4, n_out, 3, groups=groups[0]), nn.BatchNorm2d(n_out)
        self.second, self.head = nn.Conv2d(n_in or n_out, 6, 3, groups=groups[1]), nn.Linear(6, 3)

    def act(self, x: Tensor) -> Tensor:
        return x.relu()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.act(self.norm(self.first(x)))).cos().mean((2, 3)))


class Shuffle(Between):
    def act(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w).relu()


class Glu(Between):
    def act(self, x: Tensor) -> Tensor:
        return F.glu(x, 1)


class ChunkGate(Between):
    def act(self, x: Tensor) -> Tensor:
        value, gate = x.chunk(2, 1)
        return value * gate.sigmoid()


class Branches(Between):
    """Two halves that go different ways and meet in a concatenation, the second first."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(6, 5, 1), nn.Conv2d(6, 7, 1)

    def act(self, x: Tensor) -> Tensor:
        one, two = x.chunk(2, 1)
        return torch.cat([self.right(two).relu(), self.left(one).tanh()], 1)


class SplitConstant(Between):
    def act(self, x: Tensor) -> Tensor:
        one, two, three = torch.split(x, [3, 5, 4], 1)
        return torch.cat([three, one.relu(), two.sigmoid()], 1)


class SliceConstant(Between):
    """Cross-stage partial: some channels go on as they are."""

    def act(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, :5], x[:, 5:].relu(), x[:, ::2]], 1)


class Crossed(Between):
    """Sums of shifted and turned channels tie units to their neighbours."""

    def act(self, x: Tensor) -> Tensor:
        return (x + x.flip(1)).relu()


class Rolled(Between):
    def act(self, x: Tensor) -> Tensor:
        return x.roll(1, 1).relu()


class PixelShuffle(Between):
    def act(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(x, 2).relu()


class Maxout(Between):
    def act(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (-1, 2)).amax(2)


class ChannelMean(Between):
    """CBAM's place gate: statistics over all channels at every place."""

    def act(self, x: Tensor) -> Tensor:
        return x * (x.mean(1, keepdim=True) + x.amax(1, keepdim=True)).sigmoid()


class ChannelSoftmax(Between):
    def act(self, x: Tensor) -> Tensor:
        return x.softmax(1)


class ChannelLength(Between):
    def act(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=1)


class PlaceGate(Between):
    def __init__(self) -> None:
        super().__init__()
        self.where = nn.Conv2d(12, 1, 1)

    def act(self, x: Tensor) -> Tensor:
        return x * self.where(x).sigmoid()


class Overwritten(Between):
    """Some of the channels are set to a constant, in place."""

    def act(self, x: Tensor) -> Tensor:
        x = x.relu() * 1
        x[:, 2:5] = 0.5
        return x


class Ramp(Between):
    """A tensor with an entry a channel that is made on the way."""

    def act(self, x: Tensor) -> Tensor:
        return (x + torch.arange(12, dtype=x.dtype).view(-1, 1, 1)).relu()


class Cumulated(Between):
    def act(self, x: Tensor) -> Tensor:
        return x.cumsum(1)


class Item(Between):
    """A factor that is a number of Python's."""

    def act(self, x: Tensor) -> Tensor:
        return x / x.max().item()


class PaddedShortcut(nn.Module):
    """A CIFAR ResNet's option A: channels of zeros in front and behind, their number a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv1, self.conv2 = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 16, 3, 2, 1), nn.Conv2d(16, 16, 3, 1, 1)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = self.conv2(self.conv1(x).relu()) + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4))
        return self.head(x.relu().mean((2, 3)))


def weight_norm() -> nn.Module:
    normed = nn.utils.parametrizations.weight_norm
    return nn.Sequential(normed(nn.Linear(6, 8)), nn.ReLU(), normed(nn.Linear(8, 7)), nn.Tanh(), nn.Linear(7, 3))


def spectral_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.utils.parametrizations.spectral_norm(nn.Linear(8, 7)), nn.Tanh(), nn.Linear(7, 3))


IMAGE = images(4, 10, 10)
TRAPS = {
    "grouped": Case(lambda: Between(groups=(2, 3)), IMAGE, cut=("first", "second")),
    "grouped_of_one_channel": Case(lambda: Between(groups=(4, 1)), IMAGE, cut=("second",)),  # three rows read each channel of the input
    "channel_shuffle": Case(lambda: Shuffle(groups=(2, 2)), IMAGE, cut=("first", "second")),
    "glu": Case(lambda: Glu(n_in=6), IMAGE, whole=True),
    "chunk_gate": Case(lambda: ChunkGate(n_in=6), IMAGE, whole=True),
    "chunk_branches": Case(Branches, IMAGE, cut=("left", "right", "second")),
    "split_constant": Case(SplitConstant, IMAGE, cut=("second",), kept={"first": "split"}),
    "slice_constant": Case(lambda: SliceConstant(n_in=18), IMAGE, cut=("second",)),
    "flip": Case(Crossed, IMAGE, whole=True),
    "roll": Case(Rolled, IMAGE, cut=("second",)),
    "pixel_shuffle": Case(lambda: PixelShuffle(n_in=3), IMAGE, cut=("second",), kept={"first": "places"}),
    "maxout": Case(lambda: Maxout(n_in=6), IMAGE, cut=("second",), kept={"first": "amax"}),
    "channel_mean": Case(ChannelMean, IMAGE, cut=("second",), kept={"first": "mean"}),
    "channel_softmax": Case(ChannelSoftmax, IMAGE, cut=("second",), kept={"first": "softmax"}),
    "channel_length": Case(ChannelLength, IMAGE, cut=("second",), kept={"first": "norm"}),
    "place_gate": Case(PlaceGate, IMAGE, cut=("first", "second"), kept={"where": "one factor for many units"}),
    "overwritten": Case(Overwritten, IMAGE, cut=("second",)),
    "ramp": Case(Ramp, IMAGE, cut=("second",), kept={"first": "constant"}),
    "cumsum": Case(Cumulated, IMAGE, cut=("second",), kept={"first": "cumsum"}),
    "item": Case(Item, IMAGE, cut=("second",)),
    "padded_shortcut": Case(PaddedShortcut, images(3, 10, 10), cut=("conv1",)),
    "weight_norm": Case(weight_norm, images(6), whole=True),
    "spectral_norm": Case(spectral_norm, images(6), kept={"0": "weight that is computed"}),
}
