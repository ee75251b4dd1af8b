"""Regions beside images, on one sheet."""

import numpy as np
from PIL import Image

from mmcroc.pictures.picture_grid import boundaries, picture_grid

BOUNDARY = (255, 0, 90)


def region_sheet(examples, width=240):
    """Paint examples, a row each: the image, its regions' boundaries, their mean colours.

    Args:
        examples (list[tuple]): Image, uint8 RGB (H, W, 3), and its regions, integers (H, W),
            ids from 0; at least one.
        width (int): Of each picture, pixels.

    Returns:
        PIL.Image.Image: The sheet.
    """
    return picture_grid([_row(image, regions, width) for image, regions in examples])


def _row(image, regions, width):
    size = (width, max(1, round(width * image.shape[0] / image.shape[1])))
    small = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    # Boundaries are drawn at the sheet's size: thin lines would not survive being scaled.
    shown = np.asarray(Image.fromarray(regions.astype(np.int32)).resize(size, 0))
    lines = np.asarray(small).copy()
    lines[boundaries(shown)] = BOUNDARY
    pictures = (np.asarray(small), lines, mean_colours(image, regions)[shown])
    return [Image.fromarray(picture) for picture in pictures]


def mean_colours(image, regions):
    """The mean colour of every region, uint8 (regions, 3)."""
    flat = regions.ravel()
    count = np.maximum(np.bincount(flat), 1)
    sums = [np.bincount(flat, weights=image[..., c].ravel()) for c in range(3)]
    return np.stack([np.round(one / count) for one in sums], axis=1).astype(np.uint8)
