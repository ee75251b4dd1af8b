"""Crops drawn on their image."""

import numpy as np
import pytest
from PIL import Image

from mmcroc.pictures.view_crops import CROP_COLOURS, LINE_WIDTH, crops_on_image

GREY = np.full((60, 80, 3), 100, np.uint8)
BOXES = np.array([[10, 5, 30, 20, 0], [40, 30, 40, 30, 1]], np.float32)


@pytest.mark.parametrize('factor', [1, 2, 3])
def test_lines_are_the_crops_edge_pixels_and_nothing_else_is_touched(factor):
    photo = Image.fromarray(GREY).resize((80 * factor, 60 * factor))
    painted = np.asarray(crops_on_image(photo, (80, 60), BOXES))
    want = np.asarray(photo).copy()
    for (x, y, w, h), colour in zip(BOXES[:, :4].astype(int) * factor, CROP_COLOURS, strict=True):
        inside = want[y + LINE_WIDTH : y + h - LINE_WIDTH, x + LINE_WIDTH : x + w - LINE_WIDTH]
        kept = inside.copy()
        want[y : y + h, x : x + w] = colour
        inside[:] = kept
    np.testing.assert_array_equal(painted, want)


def test_the_whole_image_and_a_crop_of_few_pixels_can_be_drawn():
    boxes = np.array([[0, 0, 80, 60, 0], [79, 59, 1, 1, 0]], np.float32)
    painted = np.asarray(crops_on_image(Image.fromarray(GREY), (80, 60), boxes))
    assert (painted[0] == CROP_COLOURS[0]).all() and (painted[-1, 0] == CROP_COLOURS[0]).all()
    assert (painted[59, 79] == CROP_COLOURS[1]).all()
    assert (painted[30, 40] == 100).all()
