"""Felzenszwalb's and SLIC regions of scikit-image, bounded in number."""

import numpy as np

from mmcroc.data.oversegmentation.extra import import_extra
from mmcroc.data.oversegmentation.regions_of_ucm import in_row_order


def felzenszwalb_regions(image, max_regions=48, scale=100.0, growth=1.5):
    """Felzenszwalb and Huttenlocher's graph-based regions (IJCV 2004).

    ``scale`` is multiplied by ``growth`` until few enough are left.

    Args:
        image (numpy.ndarray): uint8 RGB (H, W, 3).
        max_regions (int): Most regions.
        scale (float): First scale: the higher, the larger the regions.
        growth (float): Above 1.

    Returns:
        numpy.ndarray: int32 (H, W), ids from 0, each region connected by sides or corners.

    Raises:
        ImportError: scikit-image is missing; the message names the extra.
    """
    segmentation = import_extra('skimage.segmentation')
    while True:
        labels = segmentation.felzenszwalb(
            image, scale=scale, sigma=0.8, min_size=max(1, image.shape[0] * image.shape[1] // 1000)
        )
        regions = _connected(labels)
        if regions.max() < max_regions:
            return regions
        scale *= growth


def slic_regions(image, max_regions=48, compactness=10.0):
    """SLIC superpixels (Achanta et al., TPAMI 2012).

    As many as allowed are asked for; where more come back, 5 % fewer, until it holds.

    Args:
        image (numpy.ndarray): uint8 RGB (H, W, 3).
        max_regions (int): Most regions.
        compactness (float): Weight of place against colour (CIE Lab).

    Returns:
        numpy.ndarray: int32 (H, W), ids from 0, each region connected by sides or corners.

    Raises:
        ImportError: scikit-image is missing; the message names the extra.
    """
    segmentation = import_extra('skimage.segmentation')
    wanted = max_regions
    while wanted > 1:
        labels = segmentation.slic(
            image, n_segments=wanted, compactness=compactness, start_label=0, channel_axis=-1
        )
        regions = _connected(labels)
        if regions.max() < max_regions:
            return regions
        wanted = min(wanted - 1, int(0.95 * wanted))
    return np.zeros(image.shape[:2], np.int32)


def _connected(labels):
    """Give every connected part (sides or corners) of every label an id of its own, from 0."""
    measure = import_extra('skimage.measure')
    return in_row_order(measure.label(labels, background=-1, connectivity=2))
