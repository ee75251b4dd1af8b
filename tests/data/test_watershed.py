"""Regions made while an image is loaded."""

import numpy as np
import pytest

from mmcroc.data.watershed import WatershedOversegmentation
from mmcroc.registry import TRANSFORMS
from tests.support.drawn_regions import assert_regions, patches, two_tone


def regions_of(image, **kwargs):
    return WatershedOversegmentation(**kwargs)({'img': image})['oversegmentation']


@pytest.mark.parametrize('shape', [(6, 6), (7, 40), (96, 96), (61, 50)])
@pytest.mark.parametrize('grid', [(6, 6), (2, 5)])
def test_every_cell_gives_one_connected_region(shape, grid):
    rng = np.random.default_rng(0)
    images = [
        rng.integers(0, 256, (*shape, 3), dtype=np.uint8),
        np.full((*shape, 3), 9, np.uint8),
        patches(0, *shape),
    ]
    for image in images:
        regions = regions_of(image, grid=grid)
        assert regions.dtype == np.int32
        assert_regions(regions, shape, grid[0] * grid[1])
        assert regions.max() + 1 == grid[0] * grid[1]


def test_two_tones_are_two_regions_of_two_cells():
    image, expected = two_tone(40, 60, 25)  # the cells meet at 30
    regions = regions_of(image, grid=(1, 2))
    assert (regions != expected).mean() < 0.02


def test_the_same_image_gives_the_same_regions_and_stays_as_it_is():
    image = patches()
    before = image.copy()
    np.testing.assert_array_equal(regions_of(image), regions_of(image))
    np.testing.assert_array_equal(image, before)


def test_it_is_built_by_name():
    transform = TRANSFORMS.build(dict(type='mmcroc.WatershedOversegmentation', grid=(2, 3)))
    assert repr(transform) == 'WatershedOversegmentation(grid=(2, 3))'


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r'grid .* \(0, 6\)'):
        WatershedOversegmentation(grid=(0, 6))
    with pytest.raises(ValueError, match=r'float32 \(9, 9, 3\)'):
        regions_of(np.zeros((9, 9, 3), np.float32))
    with pytest.raises(ValueError, match=r'\(5, 9\)'):
        regions_of(np.zeros((5, 9, 3), np.uint8))
