"""The baseline that anything learned has to beat."""

import torch
from mmengine.model import BaseModule
from torch import Tensor
from torch.nn import functional as F

from mmcroc.registry import MODELS


@MODELS.register_module()
class ColourPosition(BaseModule):
    """Mean colour and position of each patch, as features: (red, green, blue, y, x).

    Args:
        patch_size: Side of a patch, pixels.
    """

    def __init__(self, patch_size: int = 16):
        super().__init__()
        self.patch_size = patch_size

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """One (B, 5, h, w) map of images (B, 3, H, W); positions are in (-1, 1)."""
        colour = F.avg_pool2d(images, self.patch_size)
        sides = [
            2 * (torch.arange(n, device=images.device) + 0.5) / n - 1 for n in colour.shape[2:]
        ]
        position = torch.stack(torch.meshgrid(*sides, indexing='ij')).to(colour)
        return (torch.cat([colour, position.expand(len(images), -1, -1, -1)], 1),)
