"""Drawn images and checks of regions."""

import numpy as np
from scipy import ndimage


def two_tone(height=40, width=60, middle=25):
    """Dark left of ``middle``, light from there on, and the true regions."""
    regions = np.zeros((height, width), np.int32)
    regions[:, middle:] = 1
    return np.array([[30, 60, 90], [220, 200, 160]], np.uint8)[regions], regions


def patches(seed=0, height=60, width=80, cells=6):
    """Noisy flat patches."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (cells, cells, 3))
    y, x = np.mgrid[:height, :width]
    image = colours[y * cells // height, x * cells // width]
    return np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)


def assert_regions(regions, shape, max_regions, corners=False):
    """Every pixel labelled, ids compact from 0, each region connected, not too many."""
    assert regions.shape == shape
    assert regions.dtype.kind in 'iu'
    number = int(regions.max()) + 1
    assert sorted(np.unique(regions)) == list(range(number))
    assert number <= max_regions
    structure = np.ones((3, 3)) if corners else None
    parts = [ndimage.label(regions == region, structure)[1] for region in range(number)]
    assert parts == [1] * number
