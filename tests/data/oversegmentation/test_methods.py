import sys

import numpy as np
import pytest

from mmcroc.data.oversegmentation.edges import colour_edges
from mmcroc.data.oversegmentation.regions_of_ucm import regions_of_ucm
from mmcroc.data.oversegmentation.superpixels import felzenszwalb_regions, slic_regions
from mmcroc.data.oversegmentation.ultrametric_contour_map import (
    edge_normals,
    ultrametric_contour_map,
)
from tests.support.drawn_regions import assert_regions, patches, two_tone


def owt_ucm(image, max_regions=48):
    return regions_of_ucm(ultrametric_contour_map(colour_edges(image)), 0.25, max_regions)[0]


def felzenszwalb(image, max_regions=48):
    return felzenszwalb_regions(image, max_regions)


def slic(image, max_regions=48):
    return slic_regions(image, max_regions)


METHODS = pytest.mark.parametrize('method', [owt_ucm, felzenszwalb, slic])


@METHODS
@pytest.mark.parametrize('max_regions', [1, 2, 7, 48])
def test_every_pixel_is_in_one_connected_region_and_they_are_few_enough(method, max_regions):
    for image in (patches(), patches(1, 33, 50, 9)):
        regions = method(image, max_regions)
        assert_regions(regions, image.shape[:2], max_regions, corners=method is not owt_ucm)


@METHODS
@pytest.mark.parametrize('shape', [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_tiny_images_have_regions_too(method, shape):
    image = np.full((*shape, 3), 90, np.uint8)
    assert_regions(method(image), shape, 48, corners=True)


@METHODS
def test_the_same_image_gives_the_same_regions(method):
    np.testing.assert_array_equal(method(patches()), method(patches()))


def test_two_tones_are_two_regions():
    image, expected = two_tone()
    np.testing.assert_array_equal(owt_ucm(image), expected)


def test_two_tones_are_two_regions_of_felzenszwalb_off_the_smoothed_border():
    image, _ = two_tone(middle=25)
    regions = felzenszwalb(image)
    assert len(np.unique(regions[:, :22])) == len(np.unique(regions[:, 28:])) == 1
    assert regions[0, 0] != regions[0, -1]


def test_flat_image_has_no_edges_and_one_region():
    image = np.full((30, 40, 3), 123, np.uint8)
    assert colour_edges(image).max() < 1e-3
    assert owt_ucm(image).max() == 0


def test_edges_are_strongest_at_the_step_and_stronger_for_a_higher_step():
    image, _ = two_tone(middle=25)
    edges = colour_edges(image)
    assert edges.shape == (40, 60)
    assert edges.min() >= 0
    assert edges.max() < 1
    assert set(edges.argmax(axis=1)) <= {24, 25}
    faint = (image // 4).astype(np.uint8)
    assert colour_edges(faint).max() < edges.max()


@pytest.mark.parametrize('angle', [0, 30, 90, 135, 170])
def test_normals_point_across_the_edge(angle):
    """A ridge whose normal is at ``angle``, x to the right and y downwards."""
    y, x = np.mgrid[-20:21, -20:21]
    radians = np.deg2rad(angle)
    ridge = np.exp(-((np.cos(radians) * x + np.sin(radians) * y) ** 2) / 8)
    found = edge_normals(ridge)[20, 20]
    assert abs(np.sin(found - radians)) < 0.02


@pytest.mark.parametrize('slope', [0.5, -0.5])
def test_oblique_borders_keep_their_strength(slope):
    """Else the direction of the normals is not what the watershed expects."""
    y, x = np.mgrid[-40:40, -40:40]
    image = np.where((x + slope * y > 0)[..., None], 200, 80).astype(np.uint8).repeat(3, axis=2)
    edges = colour_edges(image)
    assert ultrametric_contour_map(edges).max() > 0.9 * edges.max()


def test_contour_map_is_shaped_as_that_of_the_gpb_code():
    image, regions = two_tone()
    ucm = ultrametric_contour_map(colour_edges(image))
    assert ucm.shape == (81, 121)
    assert not ucm[1::2, 1::2].any()
    between = ucm[1::2, 2:-1:2]
    assert (between[regions[:, :-1] != regions[:, 1:]] > 0.5).all()


def test_small_regions_do_not_stand_alone():
    image, _ = two_tone(60, 60, 30)
    image[40:43, 8:11] = 255
    edges = colour_edges(image)
    count = {
        area: regions_of_ucm(ultrametric_contour_map(edges, area), 0.25)[0].max() + 1
        for area in (0, 0.05)
    }
    assert count[0] > 2
    assert count[0.05] == 2


@pytest.mark.parametrize('edges', [np.full((4, 5), 1.5), np.full((4, 5), np.nan), np.zeros(4)])
def test_what_is_no_edge_map_is_refused(edges):
    with pytest.raises(ValueError, match='edge'):
        ultrametric_contour_map(edges)


def test_what_is_no_image_is_refused():
    with pytest.raises(ValueError, match=r'float64 \(4, 5, 3\)'):
        colour_edges(np.zeros((4, 5, 3)))


@pytest.mark.parametrize(
    ('module', 'call'),
    [
        ('higra', lambda: ultrametric_contour_map(np.zeros((4, 5)))),
        ('skimage.segmentation', lambda: felzenszwalb_regions(patches())),
        ('skimage.segmentation', lambda: slic_regions(patches())),
    ],
)
def test_missing_package_names_the_extra(monkeypatch, module, call):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r'mmcroc\[oversegmentation\]'):
        call()
