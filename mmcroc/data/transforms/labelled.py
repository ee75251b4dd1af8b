"""Transforms of labelled images."""

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform

from mmcroc.data.transforms.geometry import sample_crop_box
from mmcroc.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomResizedCropWithLabels(BaseTransform):
    """Crop a random part and resize it; the image bilinear, label maps nearest.

    Resized by Pillow, as torchvision's transforms of the released evaluations do: bilinear is
    antialiased, nearest goes by pixel centres.

    Required and modified keys: ``img``, those of ``seg_fields``, ``img_shape``.

    Args:
        size (int): Side of the result, pixels.
        scale (tuple[float, float]): Range of the crop's share of the area.
        ratio (tuple[float, float]): Range of the crop's width / height.
    """

    def __init__(self, size, scale=(0.8, 1.0), ratio=(3 / 4, 4 / 3)):
        self.size, self.scale, self.ratio = size, tuple(scale), tuple(ratio)

    def transform(self, results):
        """See the class."""
        height, width = results['img'].shape[:2]
        x, y, w, h = (
            round(value) for value in sample_crop_box(height, width, self.scale, self.ratio)
        )
        size = (self.size, self.size)
        fields = dict.fromkeys(results.get('seg_fields', ()), 'nearest')
        for key, interpolation in {'img': 'bilinear', **fields}.items():
            crop = results[key][y : y + h, x : x + w]
            results[key] = mmcv.imresize(crop, size, False, interpolation, backend='pillow')
        results['img_shape'] = (self.size, self.size)
        return results


@TRANSFORMS.register_module()
class ResizeLabels(BaseTransform):
    """Resize label maps alone, by nearest neighbour: a loss at another size than the image's.

    Modified keys: those of ``seg_fields``.

    Args:
        size (int): Side of the result, pixels.
    """

    def __init__(self, size):
        self.size = size

    def transform(self, results):
        """See the class."""
        for key in results.get('seg_fields', ()):
            results[key] = cv2.resize(
                results[key], (self.size, self.size), interpolation=cv2.INTER_NEAREST
            )
        return results


@TRANSFORMS.register_module()
class ScoreAtInputSize(BaseTransform):
    """Compare predictions with labels at the size of the input instead of the file's.

    MMSegmentation resizes predictions to ``ori_shape``; here that becomes ``img_shape``.
    """

    def transform(self, results):
        """See the class."""
        results['ori_shape'] = results['img_shape'][:2]
        return results


@TRANSFORMS.register_module()
class PadImage(BaseTransform):
    """Pad an image at the bottom and the right, to a size of its own; labels stay as they are.

    Unlike mmcv's ``Pad``, ``img_shape`` remains the size of what is not padding: metrics tell the
    two apart by it.

    Required key: ``img``. Modified: ``img``, ``img_shape``, ``pad_shape``.

    Args:
        size (tuple[int, int]): Height and width of the result.
        value (tuple[int, int, int]): The padding's colour, in the image's order of channels.
    """

    def __init__(self, size, value):
        self.size, self.value = tuple(size), tuple(value)

    def transform(self, results):
        """See the class.

        Raises:
            ValueError: The image is larger.
        """
        height, width = results['img'].shape[:2]
        if height > self.size[0] or width > self.size[1]:
            raise ValueError(
                f'PadImage: {results.get("img_path")} is {(height, width)}, larger than '
                f'size={self.size}: resize it first, with keep_ratio=True and '
                f'scale={self.size[::-1]} (width, height)'
            )
        padded = np.empty((*self.size, 3), results['img'].dtype)
        padded[:] = self.value
        padded[:height, :width] = results['img']
        results['img'] = padded
        results['img_shape'] = (height, width)
        results['pad_shape'] = self.size
        return results
