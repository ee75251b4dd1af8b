"""Predictions beside images and labels, on one sheet."""

from pathlib import Path

import numpy as np
from PIL import Image

from mmcroc.pictures.picture_grid import distinct_colours, picture_grid

IGNORED = (255, 255, 255)


def class_colours(number, palette=None):
    """Colours of all 256 labels, (256, 3) uint8; those beyond the classes are white.

    Args:
        number (int): Classes.
        palette (Sequence | None): Their colours; by default hues far apart.
    """
    if not palette or len(palette) < number:
        palette = distinct_colours(range(number))
    colours = np.full((256, 3), IGNORED, dtype=np.uint8)
    colours[:number] = np.asarray(palette)[:number]
    return colours


def prediction_sheet(columns, num_classes, palette=None, side=160):
    """Paint examples: rows are images; columns the image, its labels and each prediction.

    Predictions are white where the labels are ignored.

    Args:
        columns (dict[str, list[dict]]): Examples by title, the same images in each: ``img_path``
            (grey where there is no such file), ``label`` and ``prediction``, uint8 arrays (H, W)
            of one shape.
        num_classes (int): Labels from here on are ignored.
        palette (Sequence | None): As for :func:`class_colours`.
        side (int): Of each picture, pixels.

    Returns:
        PIL.Image.Image: The sheet.
    """
    colours = class_colours(num_classes, palette)
    first = next(iter(columns.values()))
    cells = {'image': [_photo(example['img_path'], side) for example in first]}
    cells['labels'] = [_map(colours[example['label']], side) for example in first]
    for title, examples in columns.items():
        shown = [np.where(e['label'] < num_classes, e['prediction'], 255) for e in examples]
        cells[title] = [_map(colours[one], side) for one in shown]
    rows = [list(row) for row in zip(*cells.values(), strict=True)]
    return picture_grid(rows, [title[-side // 6 :] for title in cells])


def _photo(path, side):
    if not path or not Path(path).is_file():
        return Image.new('RGB', (side, side), 'grey')
    with Image.open(path) as image:
        return image.convert('RGB').resize((side, side))


def _map(painted, side):
    return Image.fromarray(painted).resize((side, side), Image.Resampling.NEAREST)
