"""Cut a view out of an image: crop, resize, flip."""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torchvision.transforms import RandomResizedCrop


def sample_crop_box(height, width, scale, ratio):
    """Draw a crop box as torchvision's ``RandomResizedCrop`` does (from torch's generator).

    Args:
        height (int): Height of the image, pixels.
        width (int): Width of the image, pixels.
        scale (tuple[float, float]): Range of the crop's share of the area.
        ratio (tuple[float, float]): Range of width / height.

    Returns:
        tuple[int, int, int, int]: (x0, y0, width, height), pixels of the image.
    """
    # torchvision asks the image for its shape only: a view of one number will do.
    stand_in = torch.empty(1, dtype=torch.uint8).expand(3, height, width)
    y0, x0, h, w = RandomResizedCrop.get_params(stand_in, scale, ratio)
    return x0, y0, w, h


def crop_resize_flip(img, box, size, flip):
    """Cut a box out, resize it to a square (bicubic, antialiased), flip it if told to.

    torch's uint8 path computes what Pillow's ``resize(box=...)`` does, to within one grey level,
    in a third of the time; OpenCV has no antialiased bicubic.

    Args:
        img (numpy.ndarray): uint8, (height, width, 3).
        box (tuple[int, int, int, int]): (x0, y0, width, height), pixels of ``img``.
        size (int): Side of the result, pixels.
        flip (bool): Mirror left and right.

    Returns:
        numpy.ndarray: uint8, (size, size, 3), contiguous.
    """
    x0, y0, w, h = box
    crop = np.array(img[y0 : y0 + h, x0 : x0 + w])  # a copy: contiguous and writable
    # The batch dimension first, or torch does not see that channels are last in memory.
    crop = torch.from_numpy(crop)[None].permute(0, 3, 1, 2)
    view = F.interpolate(crop, (size, size), mode='bicubic', align_corners=False, antialias=True)
    view = np.ascontiguousarray(view[0].permute(1, 2, 0).numpy())  # no copy
    return cv2.flip(view, 1) if flip else view
