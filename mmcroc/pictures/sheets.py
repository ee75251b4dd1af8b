"""Sheets: pictures of several images in rows and columns."""

import textwrap
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion

from mmcroc.data.image_reading import open_picture
from mmcroc.pictures.label_maps import at_size, boundaries, class_colours, mean_colours, overlay

TITLE_HEIGHT, MARGIN, LETTER_WIDTH = 16, 4, 6
#: Colours of the lines between regions, and around a region that was retrieved.
REGION_BOUNDARY, OUTLINE, OUTLINE_WIDTH = (255, 0, 90), (255, 220, 0), 2
#: Radius of the ring around a point, pixels.
RING = 7


def picture_grid(rows: Sequence[Sequence[Image.Image]], titles: Sequence[str] = ()) -> Image.Image:
    """Paste rows of pictures of any sizes, as many in each, on white, under the columns' titles.

    A column is as wide as its widest, a row as high as its highest. Titles may be of many lines.
    """
    widths = [max(picture.width for picture in column) for column in zip(*rows, strict=True)]
    heights = [max(picture.height for picture in row) for row in rows]
    lefts = list(accumulate((width + MARGIN for width in widths), initial=0))
    top = TITLE_HEIGHT * max((1 + title.count('\n') for title in titles), default=0)
    tops = list(accumulate((height + MARGIN for height in heights), initial=top))
    sheet = Image.new('RGB', (lefts[-1], tops[-1]), 'white')
    draw = ImageDraw.Draw(sheet)
    for left, title in zip(lefts, titles, strict=False):
        draw.text((left, 2), title, fill='black')
    for top, row in zip(tops, rows, strict=False):
        for left, picture in zip(lefts, row, strict=False):
            sheet.paste(picture, (left, top))
    return sheet


def in_lines(title: str, width: int) -> str:
    """Break a title into lines that are about as wide as a picture, pixels; nothing is cut off."""
    return '\n'.join(textwrap.wrap(title, max(width // LETTER_WIDTH, LETTER_WIDTH)))


def legend(names: Sequence[str], colours: np.ndarray, width: int) -> Image.Image:
    """Paint a square of its colour beside each name, in as many rows of a width as it takes."""
    places: list[tuple[int, int]] = []
    left = top = 0
    for name in names:
        needed = 2 * TITLE_HEIGHT + LETTER_WIDTH * len(name)
        if left and left + needed > width:
            left, top = 0, top + TITLE_HEIGHT
        places.append((left, top))
        left += needed
    picture = Image.new('RGB', (width, top + TITLE_HEIGHT), 'white')
    draw = ImageDraw.Draw(picture)
    for (left, top), name, colour in zip(places, names, colours.tolist(), strict=True):
        draw.rectangle((left, top + 2, left + 11, top + 13), fill=tuple(colour), outline='black')
        draw.text((left + TITLE_HEIGHT, top + 2), name, fill='black')
    return picture


def photo(image: np.ndarray, side: int) -> Image.Image:
    """Shrink or enlarge an image, uint8 RGB (H, W, 3), to a longer side, pixels."""
    factor = side / max(image.shape[:2])
    height, width = (max(1, round(factor * length)) for length in image.shape[:2])
    return Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)


def overlay_sheet(
    examples: Sequence[tuple[np.ndarray, Mapping[str, np.ndarray]]], side: int = 240
) -> Image.Image:
    """Paint examples, a row each: the image, then every map over it, under its title.

    What a map draws coarsely is coarse: it is not smoothed.

    Args:
        examples: Image, uint8 RGB (H, W, 3), and its maps by title: integers (h, w) of any size,
            -1 where ignored; of the same titles, or it is a ValueError.
        side: Longer side of each picture, pixels.
    """
    titles = list(examples[0][1])
    rows = []
    for image, maps in examples:
        if list(maps) != titles:
            raise ValueError(f'one example has maps {titles}, another {list(maps)}')
        shown = photo(image, side)
        rows.append([shown, *(overlay(shown, labels) for labels in maps.values())])
    return picture_grid(rows, ['image', *titles])


def prediction_sheet(
    columns: Mapping[str, Sequence[Mapping[str, Any]]],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]] | None = None,
    side: int = 160,
) -> Image.Image:
    """Paint examples: rows are images; columns the image, its labels and each prediction.

    Predictions are white where the labels are ignored. Below stand the classes that are shown.

    Args:
        columns: Examples by title, the same images in each: ``img_path`` (grey where there is no
            such file), ``label`` and ``prediction``, uint8 arrays (H, W) of one shape.
        classes: Names of the classes; labels beyond them are ignored.
        palette: Colours of the classes; by default hues far apart.
        side: Side of each picture, pixels.
    """
    colours = class_colours(len(classes), palette)
    shown: set[int] = set()

    def painted(labels: np.ndarray) -> Image.Image:
        shown.update(np.unique(labels).tolist())
        return Image.fromarray(colours[at_size(labels, (side, side))])

    first = next(iter(columns.values()))
    cells = [
        [_square(example['img_path'], side) for example in first],
        [painted(example['label']) for example in first],
    ]
    for examples in columns.values():
        scored = [np.where(e['label'] < len(classes), e['prediction'], 255) for e in examples]
        cells.append([painted(one) for one in scored])
    titles = [in_lines(title, side) for title in ('image', 'labels', *columns)]
    grid = picture_grid(list(zip(*cells, strict=True)), titles)
    named = [number for number in range(len(classes)) if number in shown]
    below = legend([classes[number] for number in named], colours[named], grid.width)
    sheet = Image.new('RGB', (grid.width, grid.height + below.height), 'white')
    sheet.paste(grid)
    sheet.paste(below, (0, grid.height))
    return sheet


def _square(path: str | None, side: int) -> Image.Image:
    """Picture of an image file, squashed to a square."""
    if not path or not Path(path).is_file():
        return Image.new('RGB', (side, side), 'grey')
    with open_picture(path) as image:
        return image.convert('RGB').resize((side, side))


def region_sheet(
    examples: Sequence[tuple[np.ndarray, np.ndarray]], width: int = 240
) -> Image.Image:
    """Paint examples, a row each: the image, its regions' boundaries, their mean colours.

    Args:
        examples: Image, uint8 RGB (H, W, 3), and its regions, integers (H, W), ids from 0; at
            least one example.
        width: Width of each picture, pixels.
    """
    rows = []
    for image, regions in examples:
        size = (width, max(1, round(width * image.shape[0] / image.shape[1])))
        small = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
        shown = at_size(regions, size)
        lines = np.array(small)
        lines[boundaries(shown)] = REGION_BOUNDARY
        means = Image.fromarray(mean_colours(image, regions)[shown])
        rows.append([small, Image.fromarray(lines), means])
    return picture_grid(rows)


def retrieval_sheet(
    examples: Sequence[tuple[str, np.ndarray, np.ndarray]],
    side: int = 240,
    point: tuple[int, int] | None = None,
) -> Image.Image:
    """Paint images side by side, each with one region outlined and the rest darkened.

    Args:
        examples: Title, image (uint8 RGB (H, W, 3)) and region (bool (H, W)).
        side: Longer side of each picture, pixels.
        point: Pixel (x, y) of the first image that a ring marks.
    """
    row = []
    for _, image, mask in examples:
        shown = np.asarray(photo(image, side))
        region = at_size(mask, shown.shape[1::-1]) > 0
        painted = np.where(region[..., None], shown, shown // 2)
        # The line lies inside of the region, along the image's edge too.
        painted[region & ~binary_erosion(region, np.ones((3, 3)), OUTLINE_WIDTH)] = OUTLINE
        row.append(Image.fromarray(painted))
    if point is not None:
        factor = row[0].width / examples[0][1].shape[1]
        centre = [factor * (place + 0.5) for place in point]
        for radius, colour in ((RING, 'white'), (RING - 2, REGION_BOUNDARY)):
            corners = [(centre[0] + r, centre[1] + r) for r in (-radius, radius)]
            ImageDraw.Draw(row[0]).ellipse(corners, outline=colour, width=2)
    return picture_grid([row], [in_lines(title, side) for title, _, _ in examples])
