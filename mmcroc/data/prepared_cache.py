"""A shrunken copy of a folder of images, which is quicker to read."""

import json
import os
from pathlib import Path
from typing import Any

from PIL import Image

from mmcroc.atomic_file import atomic_file
from mmcroc.data.image_reading import open_picture, read_image
from mmcroc.foreign_files import read_json

#: What tells a prepared cache from any other folder of images.
MARKER = 'prepared_cache.json'
QUALITY = 90
TOOL = 'python tools/prepare_cache.py'


def shrink_image(short_side: int, path: Path, target: Path) -> bool:
    """Write an image, its short side ``short_side`` pixels at most, as a JPEG: whole or not at all.

    A JPEG that is small enough is copied as it is. False: the copy was there already.
    """
    if target.exists():
        return False
    image = Image.fromarray(read_image(path))
    with open_picture(path) as original:
        is_jpeg = original.format == 'JPEG'
    factor = short_side / min(image.size)
    with atomic_file(target) as file:
        if factor >= 1 and is_jpeg:
            file.write(path.read_bytes())
            return True
        if factor < 1:
            width, height = (max(1, round(factor * side)) for side in image.size)
            image = image.resize((width, height), Image.Resampling.BICUBIC)
        image.save(file, format='JPEG', quality=QUALITY)
    return True


def mark_cache(out: Path, images: Path, short_side: int, **outcome: int) -> None:
    """Write what a folder is a cache of; without an outcome it is unfinished.

    Raises:
        ValueError: The folder is a cache of something else, or holds other files.
    """
    settings = dict(images=str(images.resolve()), short_side=short_side, quality=QUALITY)
    if (out / MARKER).is_file():
        there = read_json(out / MARKER)
        if {name: there.get(name) for name in settings} != settings:
            raise ValueError(f'{out} is a copy by other settings, {there}: name another folder')
    elif out.is_dir() and any(out.iterdir()):
        raise ValueError(f'{out} holds files that are no prepared cache: name another folder')
    with atomic_file(out / MARKER) as file:
        file.write(json.dumps(dict(settings, **outcome), indent=2).encode())


def prepared_cache(folder: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What a folder, or one that it lies in, is a cache of; None, if it is not one.

    Raises:
        ValueError: The cache is unfinished.
    """
    path = Path(folder).resolve()
    marker = next((p / MARKER for p in (path, *path.parents) if (p / MARKER).is_file()), None)
    if marker is None:
        return None
    settings = read_json(marker)
    needed = ['images', 'short_side', 'quality', *(['left_out'] if 'copied' in settings else ())]
    lacks = [name for name in needed if name not in settings]
    if lacks:
        raise ValueError(f'{marker} has no {", ".join(lacks)}: delete it, or make the copy anew')
    if 'copied' not in settings:
        raise ValueError(
            f'{marker.parent} is an unfinished copy; go on with {TOOL} {settings["images"]} '
            f'{marker.parent} --short-side {settings["short_side"]}'
        )
    return settings
