"""The oriented watershed transform and its ultrametric contour map.

Arbelaez, Maire, Fowlkes, Malik: *Contour Detection and Hierarchical Image Segmentation*, TPAMI
2011. The contour detector comes from outside; higra does the watershed and the hierarchy.
"""

import cv2
import numpy as np

from mmcroc.data.oversegmentation.extra import import_extra

#: Scale at which the course of an edge is followed, pixels.
ORIENTATION_SIGMA = 2.0


def ultrametric_contour_map(strength, min_area=0.001):
    """Turn a map of edges into closed contours, each as strong as the hierarchy says.

    Watershed regions of the edge map are merged by average linkage: the weight between two is the
    mean strength along their common border, of each pixel only the part that runs the border's
    way. Regions below ``min_area`` never stand alone.

    Args:
        strength (numpy.ndarray): Edges (H, W), in [0, 1].
        min_area (float): Smallest region of the hierarchy, share of the image.

    Returns:
        numpy.ndarray: (2H + 1, 2W + 1) float32, as :func:`regions_of_ucm` takes it.

    Raises:
        ImportError: higra is missing; the message names the extra.
        ValueError: Not a map of finite values in [0, 1].
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

    def on_sides(values):
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


def edge_normals(strength):
    """The direction across the edge at each pixel: of the most negative curvature.

    Args:
        strength (numpy.ndarray): Edges (H, W).

    Returns:
        numpy.ndarray: (H, W), radians in (-π/2, π/2], 0 along x and π/2 along y (downwards).
    """
    smooth = cv2.GaussianBlur(
        strength.astype(np.float64),
        (0, 0),
        ORIENTATION_SIGMA,
        borderType=cv2.BORDER_REPLICATE,
    )
    dy, dx = np.gradient(smooth)
    dxy, dxx = np.gradient(dx)
    dyy = np.gradient(dy, axis=0)
    return np.arctan2(-2 * dxy, dyy - dxx) / 2
