"""A backbone of one's own for HSG: any module that hands out a tuple of feature maps."""

from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import nn


@MODELS.register_module()
class SmallConvNet(BaseModule):
    """Four convolutions, stride 8.

    Args:
        channels: Of the feature map.
        init_cfg: As MMEngine's. Weights must come by it, or other ranks than 0 lose them.
    """

    def __init__(self, channels: int = 64, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        layers = []
        for inputs, stride in ((3, 2), (channels, 2), (channels, 2), (channels, 1)):
            layers += [
                nn.Conv2d(inputs, channels, 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, images):
        """(B, 3, H, W) to a tuple with one map (B, channels, H / 8, W / 8)."""
        return (self.layers(images),)
