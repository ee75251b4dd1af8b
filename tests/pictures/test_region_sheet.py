"""The sheet of region maps."""

import numpy as np

from mmcroc.pictures.picture_grid import MARGIN, boundaries
from mmcroc.pictures.region_sheet import BOUNDARY, mean_colours, region_sheet

IMAGE = np.zeros((20, 40, 3), np.uint8)
IMAGE[:, 20:] = (200, 100, 0)
IMAGE[:, 30:] = (100, 100, 0)
REGIONS = np.zeros((20, 40), np.int32)
REGIONS[:, 20:] = 1


def test_image_boundaries_and_mean_colours_stand_side_by_side():
    sheet = np.asarray(region_sheet([(IMAGE, REGIONS)] * 2, width=40))
    assert sheet.shape == (2 * (20 + MARGIN), 3 * (40 + MARGIN), 3)
    for top in (0, 20 + MARGIN):
        image, lines, means = (
            sheet[top : top + 20, column * (40 + MARGIN) :][:, :40] for column in range(3)
        )
        np.testing.assert_array_equal(image, IMAGE)
        assert (lines[:, 19] == BOUNDARY).all()
        np.testing.assert_array_equal(np.delete(lines, 19, axis=1), np.delete(IMAGE, 19, axis=1))
        assert (means[:, :20] == 0).all()
        assert (means[:, 20:] == (150, 100, 0)).all()


def test_boundaries_are_where_the_right_or_lower_neighbour_differs():
    regions = np.array([[0, 0, 1], [0, 0, 1], [2, 2, 2]])
    np.testing.assert_array_equal(boundaries(regions), [[0, 1, 0], [1, 1, 1], [0, 0, 0]])


def test_unused_ids_do_no_harm():
    np.testing.assert_array_equal(mean_colours(IMAGE, 2 * REGIONS)[::2], [(0, 0, 0), (150, 100, 0)])
