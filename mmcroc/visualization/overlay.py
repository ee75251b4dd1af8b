"""Label maps over their image: what an image was divided into."""

import numpy as np
from PIL import Image, ImageDraw

from .prediction_sheet import TITLE_HEIGHT, class_colours
from .region_sheet import MARGIN, boundaries

LINE = (255, 255, 255)
#: Share of the label's colour.
OPACITY = 0.55


def overlay(image, labels, side):
    """The image, small, painted in its labels' colours, white lines between them.

    Args:
        image (numpy.ndarray): uint8 RGB (H, W, 3).
        labels (numpy.ndarray): Integers (H, W), -1 where there is none.
        side (int): The longer side of the result, pixels.

    Returns:
        PIL.Image.Image: RGB.
    """
    small = np.asarray(_shrink(image, side), dtype=np.float32)
    shown = nearest(labels, *small.shape[:2])
    colours = class_colours(256).astype(np.float32)[shown % 256]
    mixed = (1 - OPACITY) * small + OPACITY * colours
    mixed[shown < 0] = small[shown < 0]
    mixed[boundaries(shown)] = LINE  # drawn at this size: thin lines would not survive scaling
    return Image.fromarray(mixed.round().astype(np.uint8))


def overlay_sheet(image, maps, side=320):
    """The image and each of its maps side by side, titled by name and number of labels.

    Args:
        image (numpy.ndarray): uint8 RGB (H, W, 3).
        maps (dict[str, numpy.ndarray]): Integers (H, W) by name, -1 where there is no label.
        side (int): The longer side of each picture, pixels.

    Returns:
        PIL.Image.Image: RGB.
    """
    pictures = {'image': _shrink(image, side)}
    for name, labels in maps.items():
        number = len(np.unique(labels[labels >= 0]))
        pictures[f'{name} ({number})'] = overlay(image, labels, side)
    step = max(side // 2, pictures['image'].width) + MARGIN  # titles need some width
    size = (len(pictures) * step - MARGIN, TITLE_HEIGHT + pictures['image'].height)
    sheet = Image.new('RGB', size, 'white')
    draw = ImageDraw.Draw(sheet)
    for column, (title, picture) in enumerate(pictures.items()):
        draw.text((column * step, 2), title, fill='black')
        sheet.paste(picture, (column * step, TITLE_HEIGHT))
    return sheet


def nearest(labels, height, width):
    """Resize integers (H, W) by nearest neighbour."""
    rows = np.arange(height) * labels.shape[0] // height
    columns = np.arange(width) * labels.shape[1] // width
    return labels[rows[:, None], columns]


def _shrink(image, side):
    scale = side / max(image.shape[:2])
    size = [max(1, round(scale * length)) for length in image.shape[1::-1]]
    return Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
