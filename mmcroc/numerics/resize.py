"""Nearest-neighbour resizing of label maps, in integers: exact for any label on any device.

Two rules are in use. By pixel centres, pixel i of a line of ``target`` pixels shows the source
pixel under its centre, floor((i + ½) · source / target): the grid of bilinear interpolation, which
keeps a map aligned with its image. By corners it shows floor(i · source / target), as
``mode='nearest'`` of ``torch.nn.functional.interpolate`` (and OpenCV's) does: up to half a pixel
away, but what the released losses and evaluations compute.
"""

import numpy as np
import torch
from torch import Tensor


def nearest_indices(
    source: int, target: int, start: int = 0, number: int | None = None
) -> np.ndarray:
    """Pixels of a line of ``source`` under the centres of those of a line of ``target``.

    Returns:
        Indices, int64 (number,), for ``number`` pixels of the resized line, by default all, from
        ``start`` on.
    """
    stop = target if number is None else start + number
    return (2 * np.arange(start, stop) + 1) * source // (2 * target)


def nearest_resize(labels: Tensor, height: int, width: int) -> Tensor:
    """Resize label maps (..., H, W) of any integer type by corners: (..., height, width)."""
    if labels.shape[-2:] == (height, width):
        return labels
    rows = torch.arange(height, device=labels.device) * labels.shape[-2] // height
    columns = torch.arange(width, device=labels.device) * labels.shape[-1] // width
    return labels[..., rows[:, None], columns]
