"""The residual networks for CIFAR of arXiv:1512.03385 sec. 4.2: three stages of 16, 32 and 64 channels, at 32x32, 16x16 and 8x8."""

import torch.nn.functional as F
from torch import Tensor, nn

from sparsify.models.chains import scaled

DEPTHS = {"resnet20": 3, "resnet56": 9}  # blocks in each stage: 6 n + 2 layers with weights
CHANNELS = (16, 32, 64)


class Block(nn.Module):
    """Two convolutions and a shortcut without parameters: option A of the paper.  (N, I, H, W) -> (N, O, H / stride, W / stride)

    Where the width grows, the shortcut has zeros for the new channels. How many is asked of the tensors when the network runs, so that
    it holds in a smaller network too; they come behind the others, so that channel c of one stage is channel c of the next."""

    def __init__(self, channels: int, units: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1, self.bn1 = nn.Conv2d(channels, units, 3, stride, 1, bias=False), nn.BatchNorm2d(units)
        self.conv2, self.bn2 = nn.Conv2d(units, units, 3, 1, 1, bias=False), nn.BatchNorm2d(units)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1:
            x = x[:, :, ::self.stride, ::self.stride]
        if x.shape[1] < out.shape[1]:
            x = F.pad(x, (0, 0, 0, 0, 0, out.shape[1] - x.shape[1]))
        return F.relu(out + x)


class CifarResNet(nn.Module):
    """(N, C, H, W) -> (N, classes), for images of any size; `width` multiplies the channels of every stage."""

    def __init__(self, channels: int, n_classes: int, n_blocks: int, width: float = 1.0) -> None:
        super().__init__()
        units = [scaled(each, width) for each in CHANNELS]
        self.conv, self.bn = nn.Conv2d(channels, units[0], 3, 1, 1, bias=False), nn.BatchNorm2d(units[0])
        self.stages = nn.Sequential(*(
            nn.Sequential(*(Block(units[max(0, stage - (block == 0))], units[stage], 2 if stage and block == 0 else 1)
                            for block in range(n_blocks))) for stage in range(3)))
        self.fc = nn.Linear(units[-1], n_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.stages(F.relu(self.bn(self.conv(x)))).mean((2, 3)))
