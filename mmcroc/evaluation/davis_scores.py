"""J and F of video object segmentation, as davis2017-evaluation computes them.

References: Perazzi et al., *A benchmark dataset and evaluation methodology for video object
segmentation*, CVPR 2016; Pont-Tuset et al., *The 2017 DAVIS challenge on video object
segmentation*, 2017.
"""

from math import ceil, hypot

import cv2
import numpy as np

#: Tolerance of contours, as a share of the picture's diagonal.
TOLERANCE = 0.008
#: Frames count as found where J or F is greater.
RECALL_ABOVE = 0.5
#: Parts of a video of which the first and the last tell the decay.
DECAY_BINS = 4


def score_frame(truth: np.ndarray, predicted: np.ndarray, number: int) -> np.ndarray:
    """J and F of every object in one frame.

    Args:
        truth: Ids, uint8 (H, W). Those above ``number``, and 255 (void), are background.
        predicted: Ids, uint8 (H, W), none above ``number``.
        number: Number n of objects, at most 254, whose ids are 1 ... n.

    Returns:
        (2, n), float64: J, then F.
    """
    ids = np.arange(1, number + 1)[:, None, None]
    masks, found = truth == ids, predicted == ids
    reach = tolerance(*truth.shape)
    contour_f = [boundary_similarity(*pair, reach) for pair in zip(found, masks, strict=True)]
    return np.stack([region_similarity(found, masks), np.array(contour_f, np.float64)])


def region_similarity(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """J = |P ∩ G| / |P ∪ G| of masks, bool (..., H, W): float64 (...); 1 if both are empty."""
    union = (predicted | truth).sum((-2, -1))
    both = (predicted & truth).sum((-2, -1))
    return np.where(union == 0, 1.0, both / np.maximum(union, 1))


def tolerance(height: int, width: int) -> int:
    """Distance at which contours still meet, pixels."""
    return ceil(TOLERANCE * hypot(height, width))


def contours(masks: np.ndarray) -> np.ndarray:
    """Pixels of masks, bool (..., H, W), that differ from the right, lower or lower right one."""
    edges = np.zeros_like(masks)
    edges[..., :, :-1] |= masks[..., :, :-1] != masks[..., :, 1:]
    edges[..., :-1, :] |= masks[..., :-1, :] != masks[..., 1:, :]
    edges[..., :-1, :-1] |= masks[..., :-1, :-1] != masks[..., 1:, 1:]
    return edges


def boundary_similarity(predicted: np.ndarray, truth: np.ndarray, reach: int) -> float:
    """F = 2pr / (p + r) of two masks' contours.

    Precision p is the share of the predicted contour that lies within ``reach`` of the true one,
    recall r the other way round; without any contour both are 1, with one alone F is 0.

    Args:
        predicted: Mask, bool (H, W).
        truth: Mask, bool (H, W).
        reach: Tolerance, pixels (Euclidean).
    """
    ours, theirs = contours(predicted), contours(truth)
    if not ours.any() or not theirs.any():
        return float(ours.any() == theirs.any())
    # Only where there is a contour: the rest of the picture would cost most of the time.
    rows, columns = (np.flatnonzero((ours | theirs).any(axis)) for axis in (1, 0))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    ours, theirs = ours[part], theirs[part]
    offsets = np.arange(-reach, reach + 1) ** 2
    disk = (offsets[:, None] + offsets <= reach**2).astype(np.uint8)
    precision, recall = (
        (one & (cv2.dilate(other.astype(np.uint8), disk) > 0)).sum() / one.sum()
        for one, other in ((ours, theirs), (theirs, ours))
    )
    total = precision + recall
    return float(2 * precision * recall / total) if total else 0.0


def statistics(values: np.ndarray) -> np.ndarray:
    """Mean, recall and decay of an object's values over frames.

    Recall is the share of values above .5; decay the mean of the first quarter of the frames, less
    that of the last, where neighbouring quarters share a frame.

    Args:
        values: (..., N), N at least 1.

    Returns:
        (..., 3).
    """
    steps = values.shape[-1] - 1
    # round(1 + steps · k / 4) - 1, halves up, in integers.
    edges = [(2 * steps * k + DECAY_BINS) // (2 * DECAY_BINS) for k in range(DECAY_BINS + 1)]
    first, last = values[..., : edges[1] + 1], values[..., edges[-2] :]
    decay = first.mean(-1) - last.mean(-1)
    return np.stack([values.mean(-1), (values > RECALL_ABOVE).mean(-1), decay], -1)
