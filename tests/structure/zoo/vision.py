"""torchvision's networks, untrained, at small images; the transformers at a small width and depth through their own constructors."""

from typing import Any

from torch import nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

from tests.structure.zoo.case import Case, images


def vgg16_bn() -> nn.Module:
    """With a narrow classifier: torchvision's own has 120 of the 138 million parameters."""
    model = models.VGG(models.vgg.make_layers(models.vgg.cfgs["D"], batch_norm=True), num_classes=1, init_weights=False)
    model.classifier = nn.Sequential(nn.Linear(512 * 7 * 7, 64), nn.ReLU(True), nn.Dropout(), nn.Linear(64, 32), nn.ReLU(True),
                                     nn.Dropout(), nn.Linear(32, 10))
    return model


def vit() -> nn.Module:
    return VisionTransformer(image_size=32, patch_size=8, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=48, num_classes=10)


def swin() -> nn.Module:
    """8 x 8 tokens in windows of 4 x 4, so that every second block shifts them, and then 4 x 4."""
    return SwinTransformer(patch_size=[4, 4], embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=[4, 4], num_classes=10)


def convnext() -> nn.Module:
    return models.ConvNeXt([CNBlockConfig(16, 32, 2), CNBlockConfig(32, None, 2)], num_classes=10)


def whole(name: str, **more: Any) -> Case:
    return Case(lambda: models.get_model(name, weights=None, num_classes=10, **more), images(3, 64, 64), whole=True)


VISION = {
    **{name: whole(name) for name in ("resnet18", "resnet50", "densenet121", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0",
                                      "regnet_y_400mf", "resnext50_32x4d")},
    "googlenet": whole("googlenet", init_weights=False),  # with the two heads that run in training alone
    "vgg16_bn": Case(vgg16_bn, images(3, 32, 32), whole=True),
    "shufflenet_v2": Case(lambda: models.ShuffleNetV2([2, 2, 2], [24, 16, 32, 64, 96], num_classes=10), images(3, 64, 64)),
    "vit": Case(vit, images(3, 32, 32), cut=tuple(f"encoder.layers.encoder_layer_{block}.mlp.0" for block in range(2)),
                kept={"conv_proj": "layer_norm"}),
    "swin": Case(swin, images(3, 32, 32), cut=("features.1.0.mlp.0", "features.1.1.mlp.0", "features.3.0.mlp.0", "features.3.1.mlp.0"),
                 kept={"features.0.0": "shape", "features.1.0.attn.qkv": "shape"}),
    "convnext": Case(convnext, images(3, 32, 32), cut=("features.1.0.block.3", "features.1.1.block.3", "features.3.1.block.3"),
                     kept={"features.0.0": "layer_norm"}),
}
