"""One interface for any frozen dense model: images in, a map of features out."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

#: Normalisation by ImageNet's statistics, RGB: that of all protocols.
PREPROCESSOR: dict[str, Any] = dict(
    type='mmcroc.TwoViewDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)
#: Side of the image on which a model's stride and channels are measured, pixels.
PROBE_SIDE = 224


class DenseModel:
    """A frozen model that gives a map of features: a module with ``extract_feat``.

    Stride and channels are measured on a blank image.

    Attributes:
        name: Name of the model, such as ``'timm:vit_small_patch16_224.dino'``.
        provenance: Origin of its weights, in words; '' if unknown.
    """

    name = ''
    provenance = ''

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """The map (B, C, h, w) of normalised images (B, 3, H, W)."""
        return self.extract_feat(images)[-1]  # type: ignore[attr-defined]

    @property
    def stride(self) -> int:
        """Side of a token, pixels."""
        return PROBE_SIDE // self._probed[-1]

    @property
    def channels(self) -> int:
        """Channels of the map."""
        return self._probed[1]

    @cached_property
    def _probed(self) -> tuple[int, ...]:
        """Shape of the map of one image of ``PROBE_SIDE``."""
        assert isinstance(self, nn.Module)
        device = next((p.device for p in self.parameters()), torch.device('cpu'))
        was_training = self.training
        self.eval()
        shape = self.features(torch.zeros(1, 3, PROBE_SIDE, PROBE_SIDE, device=device)).shape
        self.train(was_training)
        return tuple(shape)


def model_inputs(model: BaseModel, image: np.ndarray, stride: int, longer_side: int) -> Tensor:
    """Resize an image to whole tokens and normalise it by the model's ``data_preprocessor``.

    Args:
        model: Model with that.
        image: uint8 RGB (H, W, 3).
        stride: Side of a token, pixels; both sides become multiples of it.
        longer_side: Longer side of the result, about, pixels; a ValueError if less than a token.

    Returns:
        (1, 3, h, w), float32, on the model's device.
    """
    pixels = whole_token_pixels(image, stride, longer_side)
    return model.data_preprocessor(dict(inputs=pixels))['inputs']


def whole_token_pixels(image: np.ndarray, stride: int, longer_side: int) -> Tensor:
    """Resize an image to whole tokens; arguments and errors as :func:`model_inputs`.

    Returns:
        (1, 3, h, w), float32, values from 0 to 255.
    """
    height, width = image.shape[:2]
    if longer_side < stride:
        raise ValueError(f"longer_side={longer_side} is less than the model's stride of {stride}")
    scale = longer_side / max(height, width) / stride
    # Whole tokens only: labels then lie where their tokens do.
    size = [stride * max(round(side * scale), 1) for side in (height, width)]
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
    return torch.nn.functional.interpolate(
        pixels, size, mode='bilinear', align_corners=False, antialias=True
    )
