"""Edges of an image, from its colours alone: nothing is learned."""

import cv2
import numpy as np

#: Standard deviations of the smoothing, pixels; the strengths are averaged.
SIGMAS = (1.0, 2.0, 4.0)
#: Of the mean strength around (a Gaussian of so many pixels), this part is taken off, so that
#: grass and foliage do not count as edges everywhere.
SURROUND_SIGMA, SURROUND_PART = 24.0, 0.7
#: A step of so many units of CIE Lab (ΔE) is an edge of strength 1 - 1/e.
STEP = 12.0


def colour_edges(image):
    """How strongly colour changes at each pixel.

    The gradient of Lab at a scale is the largest singular value of its 3 × 2 Jacobian (Di Zenzo
    1986), scaled so that a step of a height h gives h. The mean g of the scales becomes
    1 - exp(-max(0, g - 0.7 · mean of g around) / 12).

    The constants were chosen on 25 validation images of BSDS500, by boundaries and regions of the
    human segmentations.

    Args:
        image (numpy.ndarray): uint8 RGB (H, W, 3).

    Returns:
        numpy.ndarray: float32 (H, W), in [0, 1).

    Raises:
        ValueError: Not a uint8 RGB image.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f'expected uint8 RGB (H, W, 3), got {image.dtype} {image.shape}')
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    steps = sum(_step_heights(lab, sigma) for sigma in SIGMAS) / len(SIGMAS)
    around = _blur(steps, SURROUND_SIGMA)
    return 1 - np.exp(-np.maximum(steps - SURROUND_PART * around, 0) / STEP)


def _step_heights(lab, sigma):
    smooth = _blur(lab, sigma)
    difference = np.array([[-0.5, 0, 0.5]], np.float32)
    across = cv2.filter2D(smooth, -1, difference, borderType=cv2.BORDER_REPLICATE)
    down = cv2.filter2D(smooth, -1, difference.T, borderType=cv2.BORDER_REPLICATE)
    xx, xy, yy = ((a * b).sum(2) for a, b in ((across, across), (across, down), (down, down)))
    largest = (xx + yy + np.sqrt((xx - yy) ** 2 + 4 * xy * xy)) / 2
    # The derivative of a unit step smoothed by a Gaussian is 1 / (σ √2π) at its middle.
    return np.sqrt(largest) * np.float32(sigma * np.sqrt(2 * np.pi))


def _blur(values, sigma):
    return cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
