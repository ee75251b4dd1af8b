"""Regions, segments and groups beside images, on one sheet."""

import numpy as np
from PIL import Image

from .picture_grid import boundaries, distinct_colours, picture_grid

BOUNDARY = (255, 255, 255)
IGNORED = (128, 128, 128)


def hierarchy_sheet(examples, num_groups, side=240):
    """Paint examples, a row each: the image, its regions, its segments, its groups of each level.

    Label maps lie over the grey image, half-transparent. A number has the same colour everywhere;
    ignored pixels (-1) are plain grey. What a map draws coarsely is coarse: it is not smoothed.

    Args:
        examples (list[tuple]): Image, uint8 RGB (H, W, 3); its regions, integers (H, W); segments
            and groups, fine to coarse, integers (1 + levels, h, w) of any size. -1: ignored.
        num_groups (Sequence[int]): Groups of each level, for the titles.
        side (int): Longer side of each picture, pixels.

    Returns:
        PIL.Image.Image: The sheet.

    Raises:
        ValueError: Another number of maps than of levels and one.
    """
    rows = []
    for image, regions, maps in examples:
        if len(maps) != 1 + len(num_groups):
            raise ValueError(
                f'num_groups={list(num_groups)} needs {1 + len(num_groups)} maps, of segments and '
                f'of each level, but there are {len(maps)}'
            )
        factor = side / max(image.shape[:2])
        height, width = (max(1, round(factor * length)) for length in image.shape[:2])
        photo = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        rows.append([photo, *(overlay(photo, labels) for labels in (regions, *maps))])
    titles = ['image', 'regions', 'segments', *(f'{number} groups' for number in num_groups)]
    return picture_grid(rows, titles)


def overlay(photo, labels):
    """Colour a photograph's grey by labels, with the boundaries between them.

    Args:
        photo (PIL.Image.Image): RGB, W x H.
        labels (numpy.ndarray): Integers (h, w) of any size; -1: ignored.

    Returns:
        PIL.Image.Image: RGB, W x H.
    """
    # Resized first: thin lines would not survive being scaled.
    labels = Image.fromarray(np.ascontiguousarray(labels, dtype=np.int32))
    labels = np.asarray(labels.resize(photo.size, Image.Resampling.NEAREST))
    found, place = np.unique(labels, return_inverse=True)
    colours = distinct_colours(np.maximum(found, 0))
    # Over the photograph's grey: its own colours would make one label's colour many.
    grey = np.asarray(photo.convert('L'), dtype=np.uint16)[..., None]
    painted = (grey + colours[place.reshape(labels.shape)]) // 2
    painted[labels < 0] = IGNORED
    painted[boundaries(labels)] = BOUNDARY
    return Image.fromarray(painted.astype(np.uint8))
