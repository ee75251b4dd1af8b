"""Pictures in rows and columns, with what sheets of any kind share."""

import colorsys

import numpy as np
from PIL import Image, ImageDraw

TITLE_HEIGHT, MARGIN = 16, 4


def picture_grid(rows, titles=()):
    """Paste pictures beside and below each other on white.

    Args:
        rows (list[list[PIL.Image.Image]]): As many in each row; a column is as wide as its widest,
            a row as high as its highest.
        titles (Sequence[str]): Of the columns; none, no line for them.

    Returns:
        PIL.Image.Image: The sheet, RGB.
    """
    widths = [max(picture.width for picture in column) for column in zip(*rows, strict=True)]
    heights = [max(picture.height for picture in row) for row in rows]
    lefts = np.cumsum([0, *(width + MARGIN for width in widths)]).tolist()
    tops = np.cumsum([TITLE_HEIGHT if titles else 0, *(h + MARGIN for h in heights)]).tolist()
    sheet = Image.new('RGB', (lefts[-1], tops[-1]), 'white')
    draw = ImageDraw.Draw(sheet)
    for left, title in zip(lefts, titles, strict=False):
        draw.text((left, 2), title, fill='black')
    for top, row in zip(tops, rows, strict=False):
        for left, picture in zip(lefts, row, strict=False):
            sheet.paste(picture, (left, top))
    return sheet


def distinct_colours(ids):
    """A colour for every number, always the same one; neighbours in number are far apart in hue.

    Args:
        ids (Iterable[int]): At least 0.

    Returns:
        numpy.ndarray: uint8 RGB, (ids, 3).
    """
    # The golden ratio keeps them apart.
    shades = [(0.618034 * int(i) % 1, 0.9, (0.9, 0.6)[i % 2]) for i in ids]
    colours = [[round(255 * v) for v in colorsys.hsv_to_rgb(*shade)] for shade in shades]
    return np.array(colours, dtype=np.uint8).reshape(-1, 3)


def boundaries(regions):
    """Pixels whose right or lower neighbour is of another region: bool (H, W)."""
    found = np.zeros(regions.shape, bool)
    found[:, :-1] |= regions[:, :-1] != regions[:, 1:]
    found[:-1] |= regions[:-1] != regions[1:]
    return found
