"""Label maps as colours, over their image and in files."""

import colorsys
import os
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from mmcroc.atomic_file import atomic_file

BOUNDARY = (255, 255, 255)
IGNORED = (128, 128, 128)
#: Colour of labels beyond the classes.
NO_CLASS = (255, 255, 255)


def distinct_colours(ids: Iterable[int]) -> np.ndarray:
    """Choose a colour, uint8 (ids, 3), for every number >= 0, always the same; hues far apart."""
    # The golden ratio keeps them apart.
    shades = [(0.618034 * int(i) % 1, 0.9, (0.9, 0.6)[i % 2]) for i in ids]
    colours = [[round(255 * v) for v in colorsys.hsv_to_rgb(*shade)] for shade in shades]
    return np.array(colours, dtype=np.uint8).reshape(-1, 3)


def class_colours(number: int, palette: Sequence[Sequence[int]] | None = None) -> np.ndarray:
    """Choose colours, uint8 (256, 3), of all labels; white beyond the classes.

    Without a palette of the classes their hues are far apart.
    """
    given = palette and len(palette) >= number
    colours = np.full((256, 3), NO_CLASS, dtype=np.uint8)
    colours[:number] = np.asarray(palette)[:number] if given else distinct_colours(range(number))
    return colours


def object_colours() -> np.ndarray:
    """The colours of objects in DAVIS and VOC, RGB, uint8 (256, 3); 0, the background, is black."""
    ids = np.arange(256)[:, None]
    # Three bits of the number, one a channel, then the next three at half the brightness, ...
    bits = [(ids >> (3 * i + np.arange(3)) & 1) << (7 - i) for i in range(3)]
    return np.stack(bits).sum(0).astype(np.uint8)


def boundaries(regions: np.ndarray) -> np.ndarray:
    """Find the pixels whose right or lower neighbour is of another region: bool (H, W)."""
    found = np.zeros(regions.shape, bool)
    found[:, :-1] |= regions[:, :-1] != regions[:, 1:]
    found[:-1] |= regions[:-1] != regions[1:]
    return found


def mean_colours(image: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Average the colours (H, W, 3) of every region (H, W): uint8 (regions, 3)."""
    flat = regions.ravel()
    count = np.maximum(np.bincount(flat), 1)
    sums = [np.bincount(flat, weights=image[..., c].ravel()) for c in range(3)]
    return np.stack([np.round(one / count) for one in sums], axis=1).astype(np.uint8)


def at_size(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a label map to a picture's width and height, by nearest pixel centres: int32 (h, w).

    Lines and outlines are drawn after this: thin ones would not survive being scaled.
    """
    picture = Image.fromarray(np.ascontiguousarray(labels, dtype=np.int32))
    return np.asarray(picture.resize(size, Image.Resampling.NEAREST))


def overlay(photo: Image.Image, labels: np.ndarray) -> Image.Image:
    """Colour a photograph's grey by labels (h, w) of any size, with the boundaries between them.

    A number has the same colour everywhere; ignored pixels, -1, are plain grey.
    """
    labels = at_size(labels, photo.size)
    found, place = np.unique(labels, return_inverse=True)
    colours = Image.fromarray(distinct_colours(np.maximum(found, 0))[place.reshape(labels.shape)])
    # Over the photograph's grey: its own colours would make one label's colour many.
    painted = np.array(Image.blend(photo.convert('L').convert('RGB'), colours, 0.5))
    painted[labels < 0] = IGNORED
    painted[boundaries(labels)] = BOUNDARY
    return Image.fromarray(painted)


def painted_objects(photo: Image.Image, ids: np.ndarray) -> Image.Image:
    """Paint objects over a photograph, outlined; the background stays as it is.

    Args:
        photo: RGB picture, W x H.
        ids: Ids, uint8 (h, w) of any size, 0 the background.

    Returns:
        RGB picture, W x H.
    """
    shown = at_size(ids, photo.size)
    blended = Image.blend(photo, Image.fromarray(object_colours()[shown]), 0.6)
    painted = np.where(shown[..., None] > 0, np.asarray(blended), np.asarray(photo))
    painted[boundaries(shown)] = BOUNDARY
    return Image.fromarray(painted)


def compact_labels(labels: np.ndarray) -> np.ndarray:
    """Number the labels (H, W) that occur 0, 1, ... in their order, int64; -1 stays."""
    found, compact = np.unique(labels, return_inverse=True)
    return compact.reshape(labels.shape) - int(found[0] < 0)


def write_label_map(path: str | os.PathLike[str], labels: np.ndarray) -> None:
    """Write labels as a palette PNG of 8 bits, or beyond 255 labels as a grey one of 16.

    Whole or not at all. Labels (H, W) are 0 ... n - 1, more than 16 bits can number a ValueError;
    ignored ones, -1, are written as 255 (white), or 65535.
    """
    number = int(labels.max()) + 1
    if number > 65535:
        raise ValueError(f'{path}: {number} labels, but a PNG numbers 65535')
    dtype = np.uint8 if number <= 255 else np.uint16
    picture = Image.fromarray(np.where(labels < 0, np.iinfo(dtype).max, labels).astype(dtype))
    if dtype is np.uint8:
        picture.putpalette(class_colours(255).tobytes())
    save_png(picture, path)


def save_png(picture: Image.Image, path: str | os.PathLike[str]) -> None:
    """Save a picture as PNG, whole or not at all."""
    with atomic_file(path) as file:
        picture.save(file, format='PNG')
