"""Regions from the tokens of a model."""

import numpy as np
import pytest

from mmcroc.hsg.regions_of_tokens import token_regions
from mmcroc.inference.segmentation import init_model
from tests.support.drawn_regions import assert_regions, patches, two_tone


@pytest.fixture(scope='module')
def model():
    return init_model(None, 'rgb')


@pytest.mark.parametrize('max_regions', [1, 2, 7, 48])
def test_every_pixel_is_in_one_connected_region_and_they_are_few_enough(model, max_regions):
    for image in (patches(), patches(1, 33, 50, 9), patches(2, 120, 20)):
        regions = token_regions(model, image, max_regions, longer_side=128)
        assert regions.dtype == np.int32
        assert_regions(regions, image.shape[:2], max_regions, corners=True)


def test_regions_end_where_tokens_differ(model):
    """Two tones, the border within a point of the k-means."""
    image, _ = two_tone(64, 64, 32)
    regions = token_regions(model, image, 12, longer_side=64)
    assert not {*regions[:, :24].flat} & {*regions[:, 40:].flat}


@pytest.mark.parametrize('shape', [(1, 1), (1, 9), (9, 1)])
def test_tiny_images_have_regions_too(model, shape):
    image = np.full((*shape, 3), 90, np.uint8)
    assert_regions(token_regions(model, image, 48, 64), shape, 48, corners=True)


def test_the_same_image_gives_the_same_regions(model):
    first, second = (token_regions(model, patches(), longer_side=64) for _ in range(2))
    np.testing.assert_array_equal(first, second)
