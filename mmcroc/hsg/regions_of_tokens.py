"""Over-segmentations from the tokens of a model, by the k-means that HSG's segments come from."""

from math import sqrt

import numpy as np
import torch
from mmengine.model import BaseModel
from torch.nn import functional as F

from mmcroc.data.oversegmentation import import_extra, in_row_order
from mmcroc.features.dense_model import model_inputs
from mmcroc.hsg.segments import cluster_pixels
from mmcroc.numerics.resize import nearest_indices

#: Points of the k-means along a token's side; tokens are interpolated between.
POINTS_PER_TOKEN = 4
ITERATIONS = 15


@torch.no_grad()
def token_regions(
    model: BaseModel, image: np.ndarray, max_regions: int = 48, longer_side: int = 512
) -> np.ndarray:
    """Connected parts of the clusters of an image's tokens, at most ``max_regions``.

    Spherical k-means over tokens and their places (:func:`mmcroc.hsg.segments.cluster_pixels`),
    from a grid of about ``max_regions`` cells; where its clusters fall into more parts, from one of
    a tenth fewer, until it holds.

    Args:
        model: Model of :func:`mmcroc.inference.init_model`.
        image: uint8 RGB (H, W, 3).
        max_regions: Greatest number of regions.
        longer_side: The image is resized to this for the model, pixels.

    Returns:
        int32 (H, W), ids from 0, each connected by sides or corners.
    """
    label = import_extra('skimage.measure').label
    tokens = model.extract_feat(model_inputs(model, image, model.stride, longer_side))[-1]
    tokens = F.interpolate(tokens, scale_factor=POINTS_PER_TOKEN, mode='bilinear')
    valid = torch.ones_like(tokens[:, 0], dtype=torch.bool)
    wanted = float(max_regions)
    while True:
        rows = max(round(sqrt(wanted * tokens.shape[2] / tokens.shape[3])), 1)
        columns = max(int(wanted / rows), 1)
        clusters = cluster_pixels(tokens, valid, (rows, columns), ITERATIONS)[0].cpu().numpy()
        resized = clusters[nearest_indices(len(clusters), image.shape[0])]
        resized = resized[:, nearest_indices(clusters.shape[1], image.shape[1])]
        regions = in_row_order(label(resized, background=-1, connectivity=2))
        if regions.max() < max_regions:
            return regions
        wanted *= 0.9
