"""A region and the regions of other images that are like it, on one sheet."""

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion

from mmcroc.pictures.picture_grid import picture_grid

OUTLINE, LINE_WIDTH = (255, 220, 0), 2


def retrieval_sheet(examples, side=240):
    """Paint images side by side, each with one region outlined and the rest darkened.

    Args:
        examples (list[tuple]): Title, image (uint8 RGB (H, W, 3)) and region (bool (H, W)).
        side (int): Longer side of each picture, pixels.

    Returns:
        PIL.Image.Image: The sheet, one row.
    """
    titles = [title[: side // 6] for title, _, _ in examples]
    return picture_grid([[_outlined(image, region, side) for _, image, region in examples]], titles)


def _outlined(image, region, side):
    factor = side / max(image.shape[:2])
    size = [max(1, round(factor * length)) for length in image.shape[1::-1]]
    photo = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    # Resized first: thin lines would not survive being scaled.
    region = np.asarray(Image.fromarray(region).resize(size, Image.Resampling.NEAREST))
    painted = np.where(region[..., None], photo, photo // 2)
    # The line lies inside of the region, along the image's edge too.
    painted[region & ~binary_erosion(region, np.ones((3, 3)), LINE_WIDTH)] = OUTLINE
    return Image.fromarray(painted)
