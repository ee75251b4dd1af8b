"""Region maps (over-segmentations) and edge maps in files."""

import errno
import os
from pathlib import Path

import numpy as np
from PIL import Image

from mmcroc.atomic_file import atomic_file
from mmcroc.data.image_reading import SIXTEEN_BIT_GREY, open_picture
from mmcroc.foreign_files import open_regular

#: Pillow's modes of PNG files with one number per pixel; 'P' reads as the indices of the palette.
ONE_CHANNEL = ('1', 'L', 'P', 'I', *SIXTEEN_BIT_GREY)


def read_oversegmentation(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a map of regions, a PNG of one channel of up to 16 bits, as it was saved: int32 (H, W).

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A broken file, or not a PNG of one channel; it names the file.
    """
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    try:
        with open_picture(path) as image:
            kind, mode = image.format, image.mode
            if kind == 'PNG' and mode in ONE_CHANNEL:
                return np.array(image).astype(np.int32)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise nearly every type there is
        raise ValueError(f'Cannot read over-segmentation {path!r}: {error}') from error
    raise ValueError(
        f'Over-segmentation {path!r} is {kind} of mode {mode}, but must be a grey or palette PNG '
        'of 8 or 16 bits (uint8 or uint16): one number per pixel, its region, in 0..65535.'
    )


def write_oversegmentation(path: str | os.PathLike[str], regions: np.ndarray) -> None:
    """Write regions (H, W), ids 0 … n - 1, as a grey PNG, whole or not at all.

    Of 8 bits, or of 16 beyond 256 regions; more than 65,536 are a ValueError.
    """
    number = int(regions.max()) + 1
    if number > 65536:
        raise ValueError(f'{number} regions, but a PNG numbers 65536: lower --max-regions')
    with atomic_file(path) as file:
        picture = Image.fromarray(regions.astype(np.uint8 if number <= 256 else np.uint16))
        picture.save(file, format='PNG')


def read_edges(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an edge map: strengths in [0, 1], float32 (H, W).

    Of a grey PNG of 8 or 16 bits, white the strongest, or an ``.npy`` of values in [0, 1].

    Raises:
        ValueError: No such map, or a damaged one.
    """
    try:
        if Path(path).suffix == '.npy':
            with open_regular(path) as file:
                edges = np.load(file, allow_pickle=False)
            if edges.ndim != 2 or edges.dtype.kind != 'f':
                raise ValueError(f'{edges.dtype} {edges.shape}, an edge map is floats (H, W)')
            if not (np.isfinite(edges).all() and edges.min() >= 0 and edges.max() <= 1):
                raise ValueError('values must be finite and in [0, 1]')
            return edges.astype(np.float32)
        with open_picture(path) as image:
            if image.mode not in ('L', 'I', *SIXTEEN_BIT_GREY):
                raise ValueError(f'mode {image.mode}, an edge map is grey of 8 or 16 bits')
            return np.asarray(image).astype(np.float32) / (255 if image.mode == 'L' else 65535)
    except Exception as error:  # decoders raise nearly every type there is
        raise ValueError(f'Cannot read edges {path}: {error}') from error
