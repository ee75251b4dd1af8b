import numpy as np
import pytest
from scipy import ndimage

from mmcroc.data.oversegmentation.regions_of_ucm import regions_of_ucm
from tests.support.drawn_regions import assert_regions


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
