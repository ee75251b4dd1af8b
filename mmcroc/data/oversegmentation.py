"""Over-segmentations: regions of an image, found without labels.

- OWT-UCM, as HSG's authors: edges (:func:`colour_edges`, or better ones from outside), the oriented
  watershed transform with its ultrametric contour map, cut where few enough regions remain.
  Arbeláez, Maire, Fowlkes, Malik, *Contour detection and hierarchical image segmentation*, TPAMI
  2011. higra does the watershed and the hierarchy.
- scikit-image's Felzenszwalb and SLIC regions, bounded in number.

Regions made while loading are :class:`WatershedOversegmentation`'s. Processes that make maps wait
for no torch: nothing here needs a registry.
"""

import functools
from collections.abc import Callable
from types import ModuleType

import cv2
import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from mmcroc.optional import require

#: Standard deviations of the smoothing, pixels; the strengths are averaged.
SIGMAS = (1.0, 2.0, 4.0)
#: Width (Gaussian, pixels) of the mean strength around, and the part of it that is taken off, so
#: that grass and foliage do not count as edges everywhere.
SURROUND_SIGMA, SURROUND_PART = 24.0, 0.7
#: A step of so many units of CIE Lab (ΔE) is an edge of strength 1 - 1/e.
STEP = 12.0


def import_extra(name: str) -> ModuleType:
    """Import a module of the extra ``oversegmentation``, or say what to install."""
    return require(name, 'Over-segmentation', 'mmcroc[oversegmentation]')


def colour_edges(image: np.ndarray) -> np.ndarray:
    """Measure how strongly colour changes at each pixel, from the colours alone.

    The gradient of Lab at a scale is the largest singular value of its 3 × 2 Jacobian (Di Zenzo
    1986), scaled so that a step of a height h gives h. The mean g of the scales becomes
    1 - exp(-max(0, g - 0.7 · mean of g around) / 12).

    The constants were chosen on 25 validation images of BSDS500, by boundaries and regions of the
    human segmentations. Of uint8 RGB (H, W, 3), or it is a ValueError: strengths in [0, 1), float32
    (H, W).
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f'expected uint8 RGB (H, W, 3), got {image.dtype} {image.shape}')
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    steps = np.stack([_step_heights(lab, sigma) for sigma in SIGMAS]).mean(0)
    around = _blur(steps, SURROUND_SIGMA)
    return 1 - np.exp(-np.maximum(steps - SURROUND_PART * around, 0) / STEP)


def _step_heights(lab: np.ndarray, sigma: float) -> np.ndarray:
    """Heights of the steps in an image (H, W, 3) at a scale: float32 (H, W)."""
    smooth = _blur(lab, sigma)
    difference = np.array([[-0.5, 0, 0.5]], np.float32)
    across = cv2.filter2D(smooth, -1, difference, borderType=cv2.BORDER_REPLICATE)
    down = cv2.filter2D(smooth, -1, difference.T, borderType=cv2.BORDER_REPLICATE)
    pairs = ((across, across), (across, down), (down, down))
    # Plane by plane: numpy sums a last axis of 3 in five times the time.
    xx, xy, yy = (sum(cv2.split(a * b)) for a, b in pairs)
    largest = (xx + yy + np.sqrt((xx - yy) ** 2 + 4 * xy * xy)) / 2
    # The derivative of a unit step smoothed by a Gaussian is 1 / (σ √2π) at its middle.
    return np.sqrt(largest) * np.float32(sigma * np.sqrt(2 * np.pi))


def _blur(values: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


#: Scale at which the course of an edge is followed, pixels.
ORIENTATION_SIGMA = 2.0


def ultrametric_contour_map(strength: np.ndarray, min_area: float = 0.001) -> np.ndarray:
    """Turn a map of edges into closed contours, each as strong as the hierarchy says.

    Watershed regions of the edge map are merged by average linkage: the weight between two is the
    mean strength along their common border, of each pixel only the part that runs the border's
    way. Regions below ``min_area`` never stand alone.

    Args:
        strength: Strength of the edges in [0, 1], (H, W).
        min_area: Smallest region of the hierarchy, share of the image.

    Returns:
        Contour strengths, float32 (2H + 1, 2W + 1), as :func:`regions_of_ucm` takes it.
    """
    strength = np.asarray(strength, np.float64)
    if strength.ndim != 2 or not strength.size:
        raise ValueError(f'an edge map is (H, W), but this is {strength.shape}')
    if not (np.isfinite(strength).all() and strength.min() >= 0 and strength.max() <= 1):
        raise ValueError('edges must be finite and in [0, 1]')
    no_contours = np.zeros([2 * side + 1 for side in strength.shape], np.float32)
    if min(strength.shape) == 1:  # no watershed on a line, and nothing to segment
        return no_contours
    higra = import_extra('higra')
    graph = higra.get_4_adjacency_graph(strength.shape)

    def on_sides(values: np.ndarray) -> np.ndarray:
        return higra.weight_graph(graph, values, higra.WeightFunction.mean)

    # Angles are averaged doubled: 179 and 1 degrees are neighbours.
    double = 2 * edge_normals(strength)
    normals = np.arctan2(on_sides(np.sin(double)), on_sides(np.cos(double))) / 2
    tree, altitudes = higra.mean_pb_hierarchy(
        graph, on_sides(strength), strength.shape, np.mod(normals, np.pi)
    )
    if tree.num_leaves() == 1:  # a flat image; higra's filter would crash on a tree without root
        return no_contours
    if min_area > 0:
        tree, altitudes = higra.filter_small_nodes_from_tree(
            tree, altitudes, min_area * strength.size
        )
    contours = higra.saliency(tree, altitudes)
    ucm = higra.graph_4_adjacency_2_khalimsky(graph, contours, strength.shape, True)
    return ucm.astype(np.float32)


def edge_normals(strength: np.ndarray) -> np.ndarray:
    """Find the direction across the edge at each pixel: that of the most negative curvature.

    Radians in (-π/2, π/2], (H, W), 0 along x and π/2 along y (downwards).
    """
    smooth = _blur(strength.astype(np.float64), ORIENTATION_SIGMA)
    dy, dx = np.gradient(smooth)
    dxy, dxx = np.gradient(dx)
    dyy = np.gradient(dy, axis=0)
    return np.arctan2(-2 * dxy, dyy - dxx) / 2


def regions_of_ucm(
    ucm: np.ndarray, threshold: float = 0.25, max_regions: int = 48, step: float = 0.01
) -> tuple[np.ndarray, float]:
    """Cut a hierarchy of regions where few enough remain.

    Pixels are joined across contours up to the threshold, which is raised in steps until at most
    ``max_regions`` regions are left. The pixels are labelled once: the number of regions of
    every threshold follows from a minimum spanning tree over the regions of the first.

    The regions are those of the gPb-OWT-UCM code, ``bwlabel(ucm2 <= threshold)`` at the pixels.

    Args:
        ucm: Contour strengths (2H + 1, 2W + 1) as in ``ucm2`` of the gPb code:
            pixel (y, x) is at (2y + 1, 2x + 1), the contour between two pixels between them. The
            values at pixels, at corners and at the border are not used.
        threshold: First threshold, included.
        max_regions: Greatest number of regions.
        step: Amount by which the threshold is raised.

    Returns:
        Regions, int32 (H, W), ids from 0 in the order of the rows, each connected by sides; and
        the threshold that gave them.
    """
    ucm = np.asarray(ucm)
    if ucm.ndim != 2 or min(ucm.shape) < 3 or not (ucm.shape[0] % 2 and ucm.shape[1] % 2):
        raise ValueError(f'an ultrametric contour map is (2H + 1, 2W + 1), but this is {ucm.shape}')
    if max_regions < 1 or not step > 0 or not threshold >= 0:
        raise ValueError(
            f'max_regions={max_regions} must be >= 1, step={step} above 0, '
            f'threshold={threshold} >= 0'
        )
    across, down = ucm[1::2, 2:-1:2], ucm[2:-1:2, 1::2]
    for contours in (across, down):
        if contours.size and not (np.isfinite(contours).all() and contours.min() >= 0):
            raise ValueError('the contours of an ultrametric contour map must be finite and >= 0')
    labels, number = _join(ucm.shape, across <= threshold, down <= threshold)
    if number > max_regions:
        tree = _spanning_tree(labels, number, across, down)
        # A cut of the k strongest edges of the tree leaves k + 1 regions.
        needed = np.sort(tree.data)[number - 1 - max_regions]
        # The tolerance is for rounding: from .25, a contour of .27 is reached in 2 steps, not 3.
        threshold += max(1, int(np.ceil((needed - threshold) / step - 1e-6))) * step
        keep = tree.data <= max(needed, threshold)
        merged = coo_array((tree.data[keep], (tree.row[keep], tree.col[keep])), tree.shape)
        _, region = connected_components(merged, directed=False)
        labels = region.astype(np.int32)[labels]
    return in_row_order(labels), threshold


def in_row_order(labels: np.ndarray) -> np.ndarray:
    """Renumber labels (H, W) as 0, 1, … in the order in which rows meet them: int32."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return rank[inverse].reshape(labels.shape)


def _join(shape: tuple[int, ...], across: np.ndarray, down: np.ndarray) -> tuple[np.ndarray, int]:
    """Connected parts of the pixels, given which sides are open: ids from 0, and their number."""
    open_ = np.zeros(shape, bool)
    open_[1::2, 1::2] = True
    open_[1::2, 2:-1:2] = across
    open_[2:-1:2, 1::2] = down
    labels, number = ndimage.label(open_)
    return labels[1::2, 1::2] - 1, number


def _spanning_tree(
    labels: np.ndarray, number: int, across: np.ndarray, down: np.ndarray
) -> coo_array:
    """Minimum spanning tree of the regions by the contours between them, as a coo_array."""
    sides = ((labels[:, :-1], labels[:, 1:], across), (labels[:-1], labels[1:], down))
    borders = [first != second for first, second, _ in sides]
    pairs = list(zip(borders, sides, strict=True))
    first = np.concatenate([side[0][border] for border, side in pairs]).astype(np.int64)
    second = np.concatenate([side[1][border] for border, side in pairs]).astype(np.int64)
    weight = np.concatenate([side[2][border] for border, side in pairs]).astype(np.float64)
    low, high = np.minimum(first, second), np.maximum(first, second)
    # One edge per pair of regions: the weakest contour between them, along which they join.
    order = np.lexsort((weight, high, low))
    low, high, weight = low[order], high[order], weight[order]
    new = np.ones(len(low), bool)
    new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    graph = coo_array((weight[new], (low[new], high[new])), (number, number))
    # These contours are above a threshold >= 0, hence never the 0 that scipy would drop.
    return minimum_spanning_tree(graph.tocsr()).tocoo()


#: Side of the copy that predicts Felzenszwalb's scale, share of the image's, and its smoothing,
#: pixels. With these its limit holds at the image's step or at the one before.
COPY_SIDE, COPY_SIGMA = 0.25, 0.4


def felzenszwalb_regions(
    image: np.ndarray, max_regions: int = 48, scale: float = 100.0, growth: float = 1.5
) -> np.ndarray:
    """Felzenszwalb and Huttenlocher's graph-based regions (IJCV 2004) of uint8 RGB (H, W, 3).

    ``scale`` (the higher, the larger the regions) is multiplied by ``growth`` until at most
    ``max_regions`` are left: int32 (H, W), ids from 0, each connected by sides or corners.

    A copy of a quarter of the side says where to begin; from there steps are taken up or down, to
    one that leaves few enough regions while the one before leaves too many. This is the first such
    step wherever the number of regions, once few enough, stays so.
    """
    segmentation = import_extra('skimage.segmentation')

    def regions_of(pixels: np.ndarray, step: int, sigma: float) -> np.ndarray:
        return segmentation.felzenszwalb(
            pixels,
            scale=scale * growth**step,
            sigma=sigma,
            min_size=max(1, pixels.shape[0] * pixels.shape[1] // 1000),
        )

    def few(labels: np.ndarray) -> bool:
        return labels.max() < max_regions

    step = 0
    sides = [max(1, round(COPY_SIDE * side)) for side in image.shape[1::-1]]
    copy = cv2.resize(image, sides, interpolation=cv2.INTER_AREA)
    while not few(regions_of(copy, step, COPY_SIGMA)):
        step += 1
    regions_at = functools.cache(lambda step: regions_of(image, step, 0.8))
    while not few(regions_at(step)):
        step += 1
    while step and few(regions_at(step - 1)):
        step -= 1
    return in_row_order(regions_at(step))


def slic_regions(image: np.ndarray, max_regions: int = 48, compactness: float = 10.0) -> np.ndarray:
    """SLIC superpixels (Achanta et al., TPAMI 2012) of uint8 RGB (H, W, 3).

    ``max_regions`` are asked for; where more come back, 5 % fewer, until it holds: int32 (H, W),
    ids from 0, each connected by sides or corners. ``compactness`` weighs place against colour.
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


def regions_of_copy(
    find: Callable[[np.ndarray], np.ndarray], image: np.ndarray, longer_side: int
) -> np.ndarray:
    """Regions that are found in a smaller copy of an image, at the image's size.

    Args:
        find: Finds the regions of uint8 RGB (h, w, 3): int32 (h, w).
        image: uint8 RGB (H, W, 3).
        longer_side: Longer side of the copy, pixels; an image that is no larger is taken itself.

    Returns:
        int32 (H, W), ids as found; each region as connected as it was.
    """
    share = longer_side / max(image.shape[:2])
    if share >= 1:
        return find(image)
    sides = [max(1, round(share * side)) for side in image.shape[1::-1]]
    regions = find(cv2.resize(image, sides, interpolation=cv2.INTER_AREA))
    return cv2.resize(regions, image.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def _connected(labels: np.ndarray) -> np.ndarray:
    """Give every connected part (sides or corners) of every label an id of its own, from 0."""
    measure = import_extra('skimage.measure')
    return in_row_order(measure.label(labels, background=-1, connectivity=2))
