"""Where two views were cut from an image."""

import numpy as np
from PIL import Image

#: Of the first and the second view.
CROP_COLOURS = ((255, 220, 0), (0, 220, 255))
LINE_WIDTH = 2


def crops_on_image(photo, source_size, view_boxes):
    """Draw the views' crops as boxes; their lines lie inside of the crops.

    Args:
        photo (PIL.Image.Image): RGB, the image at any size.
        source_size (tuple[int, int]): Width and height of the image that was cropped, pixels.
        view_boxes (numpy.ndarray): (2, 5), crop box x0, y0, w, h in source pixels and the flip.

    Returns:
        PIL.Image.Image: RGB, as large as ``photo``.
    """
    painted = np.array(photo)
    scale = np.array(photo.size) / source_size
    for (x0, y0, w, h, _), colour in zip(view_boxes, CROP_COLOURS, strict=True):
        left, top = np.round(scale * (x0, y0)).astype(int)
        right, bottom = np.round(scale * (x0 + w, y0 + h)).astype(int)
        painted[top:bottom, left:right] = frame(painted[top:bottom, left:right], colour)
    return Image.fromarray(painted)


def frame(pixels, colour):
    """A copy of pixels, uint8 (h, w, 3), with a line of a colour along the edge."""
    framed = np.empty_like(pixels)
    framed[:] = colour
    inside = slice(LINE_WIDTH, -LINE_WIDTH)
    framed[inside, inside] = pixels[inside, inside]
    return framed
