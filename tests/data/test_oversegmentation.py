"""Regions found without labels."""

import itertools
import sys

import numpy as np
import pytest
from scipy import ndimage
from skimage import segmentation

from mmcroc.data.oversegmentation import (
    colour_edges,
    edge_normals,
    felzenszwalb_regions,
    in_row_order,
    regions_of_copy,
    regions_of_ucm,
    slic_regions,
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


@pytest.mark.parametrize('longer_side', [7, 16, 30, 45, 59])
@pytest.mark.parametrize('turned', [False, True])
def test_regions_of_a_smaller_copy_are_off_by_no_more_than_a_pixel_of_it(longer_side, turned):
    image, truth = two_tone()
    if turned:
        image, truth = image.swapaxes(0, 1), truth.T

    def bright(pixels):
        assert max(pixels.shape[:2]) == longer_side
        return (pixels.mean(-1) > 120).astype(np.int32)

    regions = regions_of_copy(bright, np.ascontiguousarray(image), longer_side)
    assert_regions(regions, truth.shape, 2)
    wrong = np.argwhere(regions != truth)[:, 0 if turned else 1]
    assert not len(wrong) or abs(wrong + 0.5 - 25).max() <= 60 / longer_side


@pytest.mark.parametrize('longer_side', [60, 500])
def test_an_image_that_is_no_larger_than_the_copy_is_taken_itself(longer_side):
    image = patches(height=40, width=60)
    seen = []
    regions_of_copy(lambda pixels: seen.append(pixels) or slic(pixels), image, longer_side)
    assert seen[0] is image


@METHODS
@pytest.mark.parametrize('shape', [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_tiny_images_have_regions_too(method, shape):
    image = np.full((*shape, 3), 90, np.uint8)
    assert_regions(method(image), shape, 48, corners=True)


@pytest.mark.parametrize(('max_regions', 'most_runs'), [(24, 6), (48, 5), (1024, 1)])
def test_felzenszwalb_takes_the_first_scale_that_holds_in_few_runs(
    monkeypatch, max_regions, most_runs
):
    """The plain loop takes 14, 12 and 1."""
    image, plain, sizes = patches(0, 160, 240, 12), segmentation.felzenszwalb, []
    for step in itertools.count():
        expected = plain(image, scale=100 * 1.5**step, sigma=0.8, min_size=38)
        if expected.max() < max_regions:
            break

    def counted(pixels, **kwargs):
        sizes.append(pixels.shape)
        return plain(pixels, **kwargs)

    monkeypatch.setattr(segmentation, 'felzenszwalb', counted)
    np.testing.assert_array_equal(felzenszwalb(image, max_regions), in_row_order(expected))
    assert sizes.count(image.shape) <= most_runs


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


def ucm_of(labels, strength):
    """The map of a nested hierarchy: ``strength(a, b)`` between labels a < b."""
    height, width = labels.shape
    ucm = np.zeros((2 * height + 1, 2 * width + 1))
    for y, x in np.ndindex(height, width):
        for dy, dx in ((0, 1), (1, 0)):
            if y + dy < height and x + dx < width:
                pair = sorted((labels[y, x], labels[y + dy, x + dx]))
                if pair[0] != pair[1]:
                    ucm[2 * y + 1 + dy, 2 * x + 1 + dx] = strength(*pair)
    return ucm


def close_corners(ucm):
    """As the gPb code: a corner as strong as the strongest contour there; borders closed."""
    ucm = ucm.copy()
    ucm[2:-1:2, 2:-1:2] = np.maximum.reduce(
        [ucm[2:-1:2, 1:-2:2], ucm[2:-1:2, 3::2], ucm[1:-2:2, 2:-1:2], ucm[3::2, 2:-1:2]]
    )
    ucm[[0, -1]] = ucm[:, [0, -1]] = np.inf  # no way around the image
    return ucm


#: Four columns; 0 and 1 part at .3, 2 and 3 at .4, the pairs at .6.
COLUMNS = np.repeat(np.arange(4), 3)[None].repeat(5, axis=0)
NESTED = ucm_of(COLUMNS, lambda a, b: {(0, 1): 0.3, (2, 3): 0.4, (1, 2): 0.6}[a, b])


@pytest.mark.parametrize(
    ('threshold', 'max_regions', 'expected', 'at'),
    [
        (0.25, 48, [0, 1, 2, 3], 0.25),
        (0.3, 48, [0, 0, 1, 2], 0.3),  # the threshold itself is joined
        (0.25, 3, [0, 0, 1, 2], 0.3),  # raised to .3, 5 steps
        (0.25, 2, [0, 0, 1, 1], 0.4),
        (0.25, 1, [0, 0, 0, 0], 0.6),
        (0.7, 48, [0, 0, 0, 0], 0.7),
    ],
)
def test_known_hierarchy_is_cut_where_it_should_be(threshold, max_regions, expected, at):
    regions, reached = regions_of_ucm(NESTED, threshold, max_regions)
    np.testing.assert_array_equal(regions, np.array(expected)[COLUMNS])
    assert reached == pytest.approx(at)


def random_ucm(seed):
    """A hierarchy over random blobs: single linkage of random contours is ultrametric."""
    rng = np.random.default_rng(seed)
    heights = np.round(rng.random((9, 12)), 2)  # ties included
    labels = np.arange(heights.size).reshape(heights.shape)
    draw = {}
    raw = ucm_of(labels, lambda a, b: draw.setdefault((a, b), round(rng.random() * 0.6, 3)))
    # Ultrametric: a contour is the lowest level at which its two sides are joined.
    levels = np.unique(raw)[1:]
    ucm = np.zeros_like(raw)
    for level in levels[::-1]:
        mask = raw <= level
        mask[::2, ::2] = False
        mask[1::2, 1::2] = True
        mask[0] = mask[-1] = mask[:, 0] = mask[:, -1] = False
        parts = ndimage.label(mask)[0][1::2, 1::2]
        ucm[1::2, 2:-1:2][parts[:, :-1] == parts[:, 1:]] = level
        ucm[2:-1:2, 1::2][parts[:-1] == parts[1:]] = level
    return ucm


@pytest.mark.parametrize('seed', range(8))
@pytest.mark.parametrize('max_regions', [1, 2, 5, 20, 60])
def test_cut_is_that_of_labelling_at_every_threshold(seed, max_regions):
    """As the gPb code does it: bwlabel with corners at .05, .06, … until few enough are left."""
    ucm = random_ucm(seed)
    closed = close_corners(ucm)
    for step in range(100):
        threshold = 0.05 + step * 0.01 + 1e-12
        expected, number = ndimage.label(closed <= threshold, np.ones((3, 3)))
        if number <= max_regions:
            break
    regions, reached = regions_of_ucm(ucm, 0.05, max_regions)
    assert_regions(regions, (9, 12), max_regions)
    assert reached == pytest.approx(threshold)
    pairs = np.unique(np.stack([regions, expected[1::2, 1::2]]).reshape(2, -1), axis=1)
    assert pairs.shape[1] == number == regions.max() + 1


@pytest.mark.parametrize(
    ('ucm', 'kwargs', 'message'),
    [
        (np.zeros((4, 5)), {}, r'\(4, 5\)'),
        (np.zeros((5, 5, 3)), {}, r'\(5, 5, 3\)'),
        (np.full((5, 5), np.nan), {}, 'finite'),
        (np.full((5, 5), -1.0), {}, '>= 0'),
        (np.zeros((5, 5)), {'max_regions': 0}, 'max_regions=0'),
        (np.zeros((5, 5)), {'threshold': -0.1}, 'threshold=-0.1'),
        (np.zeros((5, 5)), {'step': 0}, 'step=0'),
    ],
)
def test_what_is_no_contour_map_is_named(ucm, kwargs, message):
    with pytest.raises(ValueError, match=message):
        regions_of_ucm(ucm, **kwargs)
