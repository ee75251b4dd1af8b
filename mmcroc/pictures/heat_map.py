"""Numbers as heat: black, red, yellow, white."""

import numpy as np
from PIL import Image


def heat_map(values, size):
    """Paint a map of numbers, from 0 (black) to its greatest (white).

    Args:
        values (numpy.ndarray): (h, w), at least 0.
        size (tuple[int, int]): Width and height of the picture, pixels; what is coarse stays
            coarse.

    Returns:
        PIL.Image.Image: RGB.
    """
    share = values / max(float(values.max()), np.finfo(np.float32).tiny)
    ramp = np.clip(3 * share[..., None] - np.arange(3), 0, 1)
    picture = Image.fromarray(np.round(255 * ramp).astype(np.uint8))
    return picture.resize(size, Image.Resampling.NEAREST)
