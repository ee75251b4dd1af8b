"""Regions outlined in their images."""

import numpy as np

from mmcroc.pictures.picture_grid import MARGIN, TITLE_HEIGHT
from mmcroc.pictures.retrieval_sheet import OUTLINE, retrieval_sheet


def test_the_region_keeps_its_colour_inside_an_outline_and_the_rest_is_darkened():
    image = np.full((50, 100, 3), 200, np.uint8)
    region = np.zeros((50, 100), bool)
    region[:30, 20:60] = True  # it touches the upper edge
    sheet = np.asarray(retrieval_sheet([('query', image, region), ('hit', image, ~region)], 100))
    assert sheet.shape == (TITLE_HEIGHT + 50 + MARGIN, 2 * (100 + MARGIN), 3)
    first = sheet[TITLE_HEIGHT:][:50, :100]
    inside = np.zeros_like(region)
    inside[2:28, 22:58] = True
    assert (first[inside] == 200).all() and (first[~region] == 100).all()
    assert (first[region & ~inside] == OUTLINE).all()


def test_tiny_images_and_empty_regions_are_painted():
    dot = np.full((1, 1, 3), 9, np.uint8)
    sheet = retrieval_sheet([('a', dot, np.zeros((1, 1), bool)), ('b', dot, dot[..., 0] > 0)], 16)
    assert sheet.size == (2 * (16 + MARGIN), TITLE_HEIGHT + 16 + MARGIN)
