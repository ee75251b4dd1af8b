"""Label maps over their images: what images were divided into."""

import numpy as np
from PIL import Image

from mmcroc.pictures.picture_grid import boundaries, distinct_colours, picture_grid

BOUNDARY = (255, 255, 255)
IGNORED = (128, 128, 128)


def overlay_sheet(examples, side=240):
    """Paint examples, a row each: the image, then every map over it, under its title.

    What a map draws coarsely is coarse: it is not smoothed.

    Args:
        examples (list[tuple]): Image, uint8 RGB (H, W, 3), and its maps by title: integers (h, w)
            of any size, -1 where ignored.
        side (int): Longer side of each picture, pixels.

    Returns:
        PIL.Image.Image: The sheet.

    Raises:
        ValueError: Examples with different titles.
    """
    titles = list(examples[0][1])
    rows = []
    for image, maps in examples:
        if list(maps) != titles:
            raise ValueError(f'one example has maps {titles}, another {list(maps)}')
        factor = side / max(image.shape[:2])
        height, width = (max(1, round(factor * length)) for length in image.shape[:2])
        photo = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        rows.append([photo, *(overlay(photo, labels) for labels in maps.values())])
    return picture_grid(rows, ['image', *titles])


def overlay(photo, labels):
    """Colour a photograph's grey by labels, with the boundaries between them.

    A number has the same colour everywhere; ignored pixels are plain grey.

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
