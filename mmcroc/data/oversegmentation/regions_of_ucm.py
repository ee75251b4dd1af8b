"""From an ultrametric contour map to regions."""

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree


def regions_of_ucm(ucm, threshold=0.25, max_regions=48, step=0.01):
    """Cut a hierarchy of regions where few enough remain.

    Pixels are joined across contours up to the threshold, which is raised in steps until at most
    ``max_regions`` regions are left. The pixels are labelled once: the number of regions of
    every threshold follows from a minimum spanning tree over the regions of the first.

    The regions are those of the gPb-OWT-UCM code, ``bwlabel(ucm2 <= threshold)`` at the pixels.

    Args:
        ucm (numpy.ndarray): Contour strengths (2H + 1, 2W + 1) as in ``ucm2`` of the gPb code:
            pixel (y, x) is at (2y + 1, 2x + 1), the contour between two pixels between them. The
            values at pixels, at corners and at the border are not used.
        threshold (float): First threshold, included.
        max_regions (int): Most regions.
        step (float): By which the threshold is raised.

    Returns:
        tuple[numpy.ndarray, float]: Regions, int32 (H, W), ids from 0 in the order of the rows,
        each connected by sides; and the threshold that gave them.

    Raises:
        ValueError: A map of another shape, negative or not finite values, a negative threshold,
            ``max_regions`` or ``step`` not positive.
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


def in_row_order(labels):
    """Renumber labels (H, W) as 0, 1, … in the order in which rows meet them: int32."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return rank[inverse].reshape(labels.shape)


def _join(shape, across, down):
    """Connected parts of the pixels, given which sides are open: ids from 0, and their number."""
    open_ = np.zeros(shape, bool)
    open_[1::2, 1::2] = True
    open_[1::2, 2:-1:2] = across
    open_[2:-1:2, 1::2] = down
    labels, number = ndimage.label(open_)
    return labels[1::2, 1::2] - 1, number


def _spanning_tree(labels, number, across, down):
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
