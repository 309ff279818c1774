"""Networks of convolutions and linear layers all of whose streams can shrink, and forms in which people write them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.structure.zoo.case import Case, images


def block(n_in: int, n_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out), nn.SiLU())


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2, self.bottom = block(3, 6), block(6, 8), block(8, 12)
        self.up2, self.up1 = nn.ConvTranspose2d(12, 7, 2, 2), nn.ConvTranspose2d(8, 5, 3, 2, 1, output_padding=1)
        self.join2, self.join1, self.head = block(8 + 7, 8), block(6 + 5, 6), nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.down1(x)                                        # (N, 6, H, W)
        two = self.down2(F.max_pool2d(one, 2))                     # (N, 8, H/2, W/2)
        three = self.bottom(F.avg_pool2d(two, 2))                  # (N, 12, H/4, W/4)
        two = self.join2(torch.cat([two, self.up2(three)], 1))
        return self.head(self.join1(torch.cat([self.up1(two), one], 1)))


class Residual(nn.Module):
    """The basic block of a CIFAR ResNet, with a convolution where the width changes."""

    def __init__(self, n_in: int, n_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out)
        self.conv2, self.bn2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False), nn.BatchNorm2d(n_out)
        self.shortcut = nn.Sequential() if stride == 1 else nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride), nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class CifarResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = block(3, 8)
        self.stages = nn.ModuleList([nn.Sequential(Residual(8, 8), Residual(8, 8)), nn.Sequential(Residual(8, 12, 2), Residual(12, 12))])
        self.head = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.head(F.avg_pool2d(x, x.shape[-2:]).view(x.shape[0], -1))


class SqueezeExcite(nn.Module):
    """A gate a channel, from linear layers with an activation that is one at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.squeeze, self.excite = block(3, 10), nn.Linear(10, 6), nn.Linear(6, 10)
        self.conv, self.head = nn.Conv2d(10, 8, 3), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        gate = torch.sigmoid(self.excite(torch.cos(self.squeeze(x.mean((2, 3))))))  # (N, C)
        return self.head(self.conv(x * gate[:, :, None, None]).exp().clamp(max=3).amax((2, 3)))


class DictOutput(nn.Module):
    """One trunk and two heads, told apart by name."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.neck, self.classes, self.box = nn.Linear(9, 16), nn.Linear(16, 12), nn.Linear(12, 5), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = F.gelu(self.trunk(x))
        return {"classes": self.classes(F.hardswish(self.neck(x))), "box": self.box(x).sigmoid()}


class Twice(nn.Module):
    """A layer used twice, which ties what it reads and what it writes; and a head used at two sizes of image."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.middle, self.norm = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.head, self.last = nn.Conv2d(8, 6, 1), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = self.norm(self.middle(x)).relu()
        x = x + self.middle(x).tanh()
        return self.last((self.head(x).mean((2, 3)) + self.head(F.avg_pool2d(x, 2)).amax((2, 3))).sin())


class Functional(nn.Module):
    """Weights that belong to no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(torch.randn(12, 7)), nn.Parameter(torch.randn(12))
        self.v, self.u = nn.Parameter(torch.randn(12, 9)), nn.Parameter(torch.randn(4, 9))

    def forward(self, x: Tensor) -> Tensor:
        x = F.softplus(F.linear(x, self.w, self.b)) @ self.v  # (N, 9)
        return F.linear(x.sigmoid(), self.u)


class Volume(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv3d(2, 6, 3, padding=1), nn.BatchNorm3d(6), nn.ELU(), nn.MaxPool3d(2),
                                      nn.Conv3d(6, 5, (1, 2, 2)), nn.LeakyReLU(), nn.AvgPool3d(2))
        self.head = nn.Linear(5 * 1 * 1 * 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.flatten(self.features(x), 1))


class ChannelsLast(nn.Module):
    """Flattened with the channel last; a depthwise convolution; a scale that is a buffer; a pool over one axis."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.depthwise, self.head = nn.Conv2d(2, 7, 3), nn.Conv2d(7, 7, 3, groups=7, padding=1), nn.Linear(7 * 6, 5)
        self.register_buffer("scale", torch.rand(7, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(F.relu6(self.conv(x))) * self.scale
        return F.log_softmax(self.head(x.mean(2).permute(0, 2, 1).flatten(1)), -1)


class TwoInputs(nn.Module):
    """An image and numbers about it, joined by a product and by a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.numbers, self.head = nn.Conv2d(1, 8, 3), nn.Linear(5, 8), nn.Linear(16, 3)

    def forward(self, x: Tensor, numbers: Tensor) -> Tensor:
        x, numbers = self.image(x).relu().mean((2, 3)), self.numbers(numbers).cos()
        return self.head(torch.cat([x * numbers, numbers], 1))


class AuxiliaryHead(nn.Module):
    """A second head that runs in training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.head, self.auxiliary = nn.Linear(6, 12), nn.Linear(12, 4), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.trunk(x).relu()
        return (self.head(x), self.auxiliary(x)) if self.training else self.head(x)


def conv1d() -> nn.Module:
    return nn.Sequential(nn.Conv1d(2, 8, 5, padding=2), nn.BatchNorm1d(8), nn.Mish(), nn.MaxPool1d(2), nn.Conv1d(8, 6, 3, dilation=2),
                         nn.PReLU(6), nn.ConvTranspose1d(6, 7, 3, 2), nn.PReLU(), nn.AdaptiveAvgPool1d(3), nn.Flatten(), nn.Linear(21, 4))


def nested() -> nn.Module:
    return nn.Sequential(nn.Sequential(block(3, 6), nn.Sequential(nn.Identity(), block(6, 7))), nn.MaxPool2d(2),
                         nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(7 * 16, 11), nn.Sigmoid()), nn.Dropout(0.5)), nn.Linear(11, 3))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(20, 16, bias=False), nn.BatchNorm1d(16), nn.Hardswish(), nn.Linear(16, 12), nn.Sigmoid(),
                         nn.BatchNorm1d(12, affine=False), nn.Linear(12, 8), nn.Softplus(), nn.Linear(8, 4), nn.LogSoftmax(-1))


CONVOLUTIONS = {
    "unet": Case(UNet, images(3, 16, 24), whole=True),
    "cifar_resnet": Case(CifarResNet, images(3, 8, 8), whole=True),
    "squeeze_excite": Case(SqueezeExcite, images(3, 9, 7), whole=True),
    "dict_output": Case(DictOutput, images(9), whole=True),
    "layer_used_twice": Case(Twice, images(3, 10, 8), whole=True),
    "functional": Case(Functional, images(7), whole=True),
    "conv1d": Case(conv1d, images(2, 32), whole=True),
    "conv3d": Case(Volume, images(2, 5, 7, 7), whole=True),
    "channels_last": Case(ChannelsLast, images(2, 9, 8), whole=True),
    "auxiliary_head": Case(AuxiliaryHead, images(6), whole=True),
    "two_inputs": Case(TwoInputs, lambda n: (torch.randn(n, 1, 7, 7), torch.randn(n, 5)), whole=True),
    "nested_sequential": Case(nested, images(3, 8, 8), whole=True),
    "mlp": Case(mlp, images(4, 5), whole=True),
}
