"""Read any image as 8-bit RGB, or say why it cannot be read."""

import contextlib
import functools
import io
import os
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mmcroc.foreign_files import read_bytes, require_regular

EXIF_ORIENTATION = 0x0112
#: Formats of Pillow that it decodes by itself: EPS would be a program that Ghostscript runs.
FORMATS = (
    'JPEG', 'PNG', 'PPM', 'GIF', 'BMP', 'DIB', 'TIFF', 'WEBP', 'JPEG2000', 'MPO', 'AVIF',
)  # fmt: skip
SIXTEEN_BIT_GREY = ('I;16', 'I;16L', 'I;16B', 'I;16N')
#: First bytes of formats, and what stands among the last of a file that is whole.
ENDS = ((b'\xff\xd8', b'\xff\xd9'), (b'\x89PNG', b'IEND'))
#: Number of last bytes: some programs add to a picture.
TAIL = 64


class UnreadableImageError(RuntimeError):
    """An image file that cannot be read.

    Args:
        path: Image file; or a whole message, if it is the only argument: torch raises a worker's
            error again with its report, of which the message is kept.
        reason: What is wrong with the file.
    """

    def __init__(self, path: str, reason: str | None = None) -> None:
        if reason is None and path.startswith('Caught '):
            path = path.rpartition(f'{type(self).__name__}: ')[2].strip()
        super().__init__(path if reason is None else f'Cannot read image {path}: {reason}')
        self.path = path
        self.reason = reason


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an image file of any common format and depth.

    Grey, palette, CMYK and transparent images become RGB (transparency is dropped), 16 bits are
    scaled to 8, the EXIF orientation is applied. Plain JPEGs are decoded by simplejpeg where it is
    installed, all else by Pillow; the numbers are the same. Not by OpenCV, which fills the missing
    part of a truncated JPEG with grey and says nothing. The image is uint8 RGB (H, W, 3), writable.

    Raises:
        UnreadableImageError: The file is missing, empty, truncated, corrupt, not an image, too
            large to be one (Pillow's limit for decompression bombs), or holds floats.
    """
    path = os.fspath(path)
    try:
        data = read_bytes(path)
    except FileNotFoundError as error:
        raise UnreadableImageError(path, 'no such file') from error
    except OSError as error:
        raise UnreadableImageError(path, _reason(error)) from error
    return decode_image(data, path)


def require_whole(path: str | os.PathLike[str]) -> None:
    """Refuse a picture that was cut off, for readers which fill what is missing.

    A JPEG or PNG whose end mark is not among its last bytes is decoded by Pillow, which judges.
    Of a file that cannot be opened the reader will say so.

    Raises:
        UnreadableImageError: It is cut off.
    """
    try:
        require_regular(path)
        with open(path, 'rb') as file:
            start = file.read(4)
            file.seek(max(file.seek(0, os.SEEK_END) - TAIL, 0))
            tail = file.read()
    except OSError:
        return
    if any(start.startswith(first) and last not in tail for first, last in ENDS):
        load_picture(path)


def open_picture(path: str | os.PathLike[str]) -> Image.Image:
    """Open an image file with Pillow, its header alone: what masks and maps are read by.

    Raises:
        UnreadableImageError: The file is missing, or not an image of a known format.
    """
    path = os.fspath(path)
    try:
        require_regular(path)
        return _open(path)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise nearly every type there is
        raise UnreadableImageError(path, _reason(error)) from error


def load_picture(path: str | os.PathLike[str]) -> Image.Image:
    """Open and decode an image file with Pillow; errors as :func:`read_image`."""
    picture = open_picture(path)
    with picture:
        try:
            picture.load()
        except MemoryError:
            raise
        except Exception as error:  # decoders raise nearly every type there is
            raise UnreadableImageError(os.fspath(path), _reason(error)) from error
    return picture


def _open(file: str | BinaryIO) -> Image.Image:
    """Open an image of one of ``FORMATS``."""
    try:
        return Image.open(file, formats=FORMATS)
    except KeyError as error:  # this Pillow does not know the last one
        raise UnidentifiedImageError from error


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return 'not an image of a known format'
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def decode_image(data: bytes, path: str) -> np.ndarray:
    """Decode what an image file holds, as :func:`read_image`; ``path`` names it in an error."""
    if not data:
        raise UnreadableImageError(path, 'the file is empty')
    try:
        with _open(io.BytesIO(data)) as image:
            plain = image.format == 'JPEG' and image.mode == 'RGB' and _orientation(image) == 1
            if plain and (decode := _jpeg_decoder()):
                # Whatever that decoder stumbles over, Pillow judges.
                with contextlib.suppress(ValueError):
                    return decode(data)
            image.load()
            return _to_rgb(_upright(image))
    except MemoryError:
        raise
    except Exception as error:  # decoders raise nearly every type there is
        raise UnreadableImageError(path, _reason(error)) from error


@functools.cache
def _jpeg_decoder() -> Callable[[bytes], np.ndarray] | None:
    """The decoder of simplejpeg (the extra ``fast``), to Pillow's numbers; None without it.

    It refuses a truncated file (by a ValueError) and spares Pillow's two copies.
    """
    try:
        import simplejpeg
    except ImportError:
        return None
    return functools.partial(simplejpeg.decode_jpeg, fastdct=False, fastupsample=False)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation of a PIL image, 1 if it is upright."""
    try:
        return image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # broken EXIF data is no reason to refuse the pixels
        return 1


def _upright(image: Image.Image) -> Image.Image:
    """Turn a loaded PIL image as its EXIF orientation says."""
    return image if _orientation(image) == 1 else ImageOps.exif_transpose(image)


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Turn a loaded PIL image into a uint8 RGB array of (H, W, 3)."""
    if image.mode == 'RGB':
        return np.array(image)
    if image.mode in SIXTEEN_BIT_GREY or image.mode == 'I':
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f'grey values {values.min()} to {values.max()}, expected 0 to 65535')
        # 65535 / 255 = 257: white stays white. Pillow's own convert() would clip at 255.
        grey = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode == 'F':
        raise ValueError('floating-point values: their range is unknown, save it with 8 or 16 bits')
    return np.array(image.convert('RGB'))
