"""Videos with their objects: a contact sheet, and a picture that moves."""

import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from PIL import Image

from mmcroc.atomic_file import atomic_file
from mmcroc.data.image_reading import read_image
from mmcroc.pictures.label_maps import painted_objects
from mmcroc.pictures.sheets import photo, picture_grid

#: Rows of a contact sheet, and milliseconds that a moving picture shows a frame.
NUM_SHOWN, DURATION = 6, 80


def video_sheet(
    frames: Sequence[str | os.PathLike[str]],
    maps: Mapping[str, Sequence[np.ndarray]],
    side: int = 240,
) -> Image.Image:
    """Paint frames of a video, a row each: the frame, then every map over it, under its title.

    Args:
        frames: Image files. Of many, some are shown, from the first to the last.
        maps: By title: ids of every frame, uint8 (H, W), 0 the background.
        side: Longer side of each picture, pixels.

    Returns:
        Sheet, RGB.
    """
    rows = []
    for place in np.unique(np.linspace(0, len(frames) - 1, NUM_SHOWN).round().astype(int)):
        shown = photo(read_image(frames[place]), side)
        rows.append([shown, *(painted_objects(shown, ids[place]) for ids in maps.values())])
    return picture_grid(rows, ['image', *maps])


def write_moving_picture(
    path: str | os.PathLike[str],
    frames: Sequence[str | os.PathLike[str]],
    masks: Sequence[np.ndarray],
    side: int = 360,
) -> None:
    """Write a video with its objects as an animated GIF, whole or not at all.

    Args:
        path: Name of the file.
        frames: Image files.
        masks: Ids of every frame, uint8 (H, W), 0 the background.
        side: Longer side, pixels.
    """

    def shown() -> Iterator[Image.Image]:
        for frame, ids in zip(frames, masks, strict=True):
            painted = painted_objects(photo(read_image(frame), side), ids)
            yield painted.quantize(256, Image.Quantize.FASTOCTREE)

    first, *others = shown()
    with atomic_file(path) as file:
        first.save(file, 'GIF', save_all=True, append_images=others, duration=DURATION, loop=0)
