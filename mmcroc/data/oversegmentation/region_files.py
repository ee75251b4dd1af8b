"""Region maps and edge maps in files."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

GREY_8, GREY_16 = ('L',), ('I;16', 'I;16L', 'I;16B', 'I;16N', 'I')


def write_regions(path, regions):
    """Write regions as a grey PNG of 8 bits, or of 16 beyond 256; whole or not at all.

    Args:
        path (str | os.PathLike): The file; its folder exists.
        regions (numpy.ndarray): Integers (H, W), ids 0 … n - 1, n at most 65,536.

    Raises:
        ValueError: More regions than 16 bits can number.
    """
    number = int(regions.max()) + 1
    if number > 65536:
        raise ValueError(f'{number} regions, but a PNG numbers 65536: lower --max-regions')
    path = Path(path)
    temporary = path.with_name(f'.{path.stem}.{os.getpid()}{path.suffix}')
    try:
        Image.fromarray(regions.astype(np.uint8 if number <= 256 else np.uint16)).save(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_regions(path):
    """Read a region map: int32 (H, W).

    Raises:
        ValueError: The file is no grey PNG of 8 or 16 bits, or is damaged.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in GREY_8 + GREY_16:
                raise ValueError(f'mode {image.mode}, a region map is grey of 8 or 16 bits')
            return np.asarray(image).astype(np.int32)
    except Exception as error:  # decoders raise nearly every type there is
        raise ValueError(f'Cannot read regions {path}: {error}') from error


def read_edges(path):
    """Read an edge map: float32 (H, W) in [0, 1].

    Args:
        path (str | os.PathLike): A grey PNG of 8 or 16 bits, white the strongest, or an ``.npy``
            of values in [0, 1].

    Raises:
        ValueError: No such map, or a damaged one.
    """
    try:
        if Path(path).suffix == '.npy':
            edges = np.load(path, allow_pickle=False)
            if edges.ndim != 2 or edges.dtype.kind != 'f':
                raise ValueError(f'{edges.dtype} {edges.shape}, an edge map is floats (H, W)')
            if not (np.isfinite(edges).all() and edges.min() >= 0 and edges.max() <= 1):
                raise ValueError('values must be finite and in [0, 1]')
            return edges.astype(np.float32)
        with Image.open(path) as image:
            if image.mode not in GREY_8 + GREY_16:
                raise ValueError(f'mode {image.mode}, an edge map is grey of 8 or 16 bits')
            return np.asarray(image).astype(np.float32) / (255 if image.mode in GREY_8 else 65535)
    except Exception as error:  # decoders raise nearly every type there is
        raise ValueError(f'Cannot read edges {path}: {error}') from error
