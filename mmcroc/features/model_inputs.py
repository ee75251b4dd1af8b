"""From an image of any size to what a model is given."""

import numpy as np
import torch
from mmengine.model import BaseModel
from torch import Tensor


def model_inputs(model: BaseModel, image: np.ndarray, stride: int, longer_side: int) -> Tensor:
    """Resize an image to whole tokens and normalise it.

    Args:
        model: Its ``data_preprocessor`` normalises.
        image: uint8 RGB (H, W, 3).
        stride: Side of a token, pixels; both sides become multiples of it.
        longer_side: Of the result, about, pixels.

    Returns:
        (1, 3, h, w), float32, on the model's device.

    Raises:
        ValueError: ``longer_side`` is less than a token.
    """
    height, width = image.shape[:2]
    if longer_side < stride:
        raise ValueError(f"longer_side={longer_side} is less than the model's stride of {stride}")
    scale = longer_side / max(height, width) / stride
    # Whole tokens only: labels then lie where their tokens do.
    size = [stride * max(round(side * scale), 1) for side in (height, width)]
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
    pixels = torch.nn.functional.interpolate(
        pixels, size, mode='bilinear', align_corners=False, antialias=True
    )
    return model.data_preprocessor(dict(inputs=pixels))['inputs']
