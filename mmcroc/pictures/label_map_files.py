"""Label maps in files that one can look at and compute with."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from mmcroc.pictures.prediction_sheet import class_colours


def compact_labels(labels):
    """Number the labels that occur 0, 1, ... in their order; -1 stays.

    Args:
        labels (numpy.ndarray): Integers (H, W), at least -1.

    Returns:
        numpy.ndarray: int64 (H, W).
    """
    found, compact = np.unique(labels, return_inverse=True)
    return compact.reshape(labels.shape) - int(found[0] < 0)


def write_label_map(path, labels):
    """Write labels as a palette PNG of 8 bits, or beyond 255 labels as a grey one of 16.

    Ignored pixels are 255 (white), or 65535.

    Args:
        path (str | os.PathLike): The file; its folder exists. Written whole or not at all.
        labels (numpy.ndarray): Integers (H, W), 0 ... n - 1, -1 where ignored.

    Raises:
        ValueError: More labels than 16 bits can number.
    """
    number = int(labels.max()) + 1
    if number > 65535:
        raise ValueError(f'{path}: {number} labels, but a PNG numbers 65535')
    dtype = np.uint8 if number <= 255 else np.uint16
    picture = Image.fromarray(np.where(labels < 0, np.iinfo(dtype).max, labels).astype(dtype))
    if dtype is np.uint8:
        picture.putpalette(class_colours(255).tobytes())
    save_whole(picture, path)


def save_whole(picture, path):
    """Save a picture as PNG, whole or not at all."""
    path = Path(path)
    temporary = path.with_name(f'.{path.stem}.{os.getpid()}{path.suffix}')
    try:
        picture.save(temporary, format='PNG')
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
