"""Transforms of images with labels: loading, cropping, resizing, padding."""

from typing import Any

import cv2
import mmcv
import numpy as np
import torch
import torch.nn.functional as F
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmseg.datasets.transforms import LoadAnnotations

from mmcroc.data.image_reading import (
    SIXTEEN_BIT_GREY,
    UnreadableImageError,
    open_picture,
    require_whole,
)
from mmcroc.data.two_views import sample_crop_box
from mmcroc.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadMappedAnnotations(LoadAnnotations):
    """MMSegmentation's ``LoadAnnotations``, with the data set's label map applied in one pass.

    The result is the same; a map of another size than its image is refused. One look-up per pixel
    takes the place of one comparison of the whole map per label: for a COCO image and 171 labels
    1.4 ms instead of 24 ms.
    """

    def _load_seg_map(self, results: dict[str, Any]) -> None:
        _require_labels(results['seg_map_path'])
        label_map = results.get('label_map')
        results['label_map'] = None
        try:
            super()._load_seg_map(results)
        except (OSError, SyntaxError) as error:
            raise UnreadableImageError(results['seg_map_path'], str(error)) from error
        results['label_map'] = label_map
        found, want = results['gt_seg_map'].shape[:2], results.get('ori_shape')
        if want is not None and tuple(found) != tuple(want[:2]):
            raise ValueError(
                f'{results["seg_map_path"]} is {tuple(found)}, its image '
                f'{results.get("img_path")} {tuple(want[:2])}'
            )
        if label_map is not None:
            table = np.arange(256, dtype=np.uint8)
            table[list(label_map)] = list(label_map.values())
            results['gt_seg_map'] = table[results['gt_seg_map']]


def _require_labels(path: str) -> None:
    """Refuse, by a ValueError, a map of labels that MMSegmentation's 8 bits would not hold."""
    if '://' in path:
        return  # of a remote file only its numbers tell
    with open_picture(path) as picture:
        if picture.mode in ('1', 'L', 'P'):
            return
        highest = picture.getextrema()[1] if picture.mode in ('I', *SIXTEEN_BIT_GREY) else None
    if not isinstance(highest, int) or highest > 255:
        raise ValueError(
            f'{path} is a picture of mode {picture.mode}, with values up to {highest}; a map of '
            'labels has one channel of 0 to 255'
        )


@TRANSFORMS.register_module()
class LoadWholeImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile``, which refuses what OpenCV would fill with grey: cut-off files.

    Of remote files only OpenCV knows.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load an image, blue first."""
        if '://' not in results['img_path']:
            require_whole(results['img_path'])
        return super().transform(results)


@TRANSFORMS.register_module()
class LoadRGBImage(LoadWholeImage):
    """``LoadWholeImage``, red first.

    mmcv reads blue first and leaves it to MMSegmentation's preprocessor to turn round; mmcroc's
    pretraining is red first from the file on, and so has to be what validates it.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load an image, red first."""
        results = super().transform(results)
        if results is not None:
            results['img'] = np.ascontiguousarray(results['img'][..., ::-1])
        return results


@TRANSFORMS.register_module()
class RandomResizedCropWithLabels(BaseTransform):
    """Crop a random part and resize it; the image bilinear, label maps nearest.

    Resized by Pillow, as torchvision's transforms of the released evaluations do: bilinear is
    antialiased, nearest goes by pixel centres.

    Required and modified keys: ``img``, those of ``seg_fields``, ``img_shape``.

    Args:
        size: Side of the result, pixels.
        scale: Range of the crop's share of the area.
        ratio: Range of the crop's width / height.
    """

    def __init__(
        self,
        size: int,
        scale: tuple[float, float] = (0.8, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        self.size, self.scale, self.ratio = size, scale, ratio

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Crop and resize the image and its label maps."""
        height, width = results['img'].shape[:2]
        x, y, w, h = sample_crop_box(height, width, self.scale, self.ratio)
        size = (self.size, self.size)
        fields = dict.fromkeys(results.get('seg_fields', ()), 'nearest')
        for key, interpolation in {'img': 'bilinear', **fields}.items():
            crop = results[key][y : y + h, x : x + w]
            results[key] = mmcv.imresize(crop, size, False, interpolation, backend='pillow')
        results['img_shape'] = (self.size, self.size)
        return results


def _nearest_by_torch(labels: np.ndarray, size: int) -> np.ndarray:
    """A label map (H, W) resized to a square by torch's ``nearest``, rounding and all."""
    resized = F.interpolate(torch.from_numpy(labels.copy())[None, None], (size, size))
    return resized[0, 0].numpy()


@TRANSFORMS.register_module()
class SquashWithLabels(BaseTransform):
    """Resize to a square, whatever the ratio: the validation images of open-hummingbird-eval.

    The image by Pillow (bilinear, antialiased, 8 bits), label maps by torch's ``nearest``, which
    takes pixel floor(i · source / target).

    Required and modified keys: ``img``, those of ``seg_fields``, ``img_shape``.

    Args:
        size: Side of the result, pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resize the image and its label maps."""
        size = (self.size, self.size)
        results['img'] = mmcv.imresize(results['img'], size, False, 'bilinear', backend='pillow')
        for key in results.get('seg_fields', ()):
            results[key] = _nearest_by_torch(results[key], self.size)
        results['img_shape'] = size
        return results


@TRANSFORMS.register_module()
class RandomFloatCropWithLabels(BaseTransform):
    """Crop a random part and resize it in float32: the memory's images of open-hummingbird-eval.

    The image by torch (bilinear, antialiased, without rounding to 8 bits), label maps by torch's
    ``nearest``, which takes pixel floor(i · source / target) of the part. A box that does not fit
    into the image is sampled again, ten times, then the whole image is taken, or the most of it
    that ``ratio`` allows, as torchvision does: with the released ``scale`` this is often so.

    Required and modified keys: ``img``, those of ``seg_fields``, ``img_shape``.

    Args:
        size: Side of the result, pixels.
        scale: Range of the crop's share of the area.
        ratio: Range of the crop's width / height.
    """

    def __init__(
        self,
        size: int,
        scale: tuple[float, float] = (0.5, 2.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        self.size, self.scale, self.ratio = size, scale, ratio

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Crop and resize the image and its label maps."""
        height, width = results['img'].shape[:2]
        x, y, w, h = sample_crop_box(height, width, self.scale, self.ratio)
        size = (self.size, self.size)
        crop = torch.from_numpy(results['img'][y : y + h, x : x + w].astype(np.float32))
        crop = F.interpolate(crop.permute(2, 0, 1)[None], size, mode='bilinear', antialias=True)
        results['img'] = crop[0].permute(1, 2, 0).numpy()
        for key in results.get('seg_fields', ()):
            results[key] = _nearest_by_torch(results[key][y : y + h, x : x + w], self.size)
        results['img_shape'] = size
        return results


@TRANSFORMS.register_module()
class ResizeLabels(BaseTransform):
    """Resize label maps alone, by nearest neighbour: a loss at another size than the image's.

    Modified keys: those of ``seg_fields``.

    Args:
        size: Side of the result, pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resize the label maps."""
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

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Set ``ori_shape`` to ``img_shape``."""
        results['ori_shape'] = results['img_shape'][:2]
        return results


@TRANSFORMS.register_module()
class PadImage(BaseTransform):
    """Pad an image at the bottom and the right, to a size of its own; labels stay as they are.

    Unlike mmcv's ``Pad``, ``img_shape`` remains the size of what is not padding: metrics tell the
    two apart by it.

    Required key: ``img``. Modified: ``img``, ``img_shape``, ``pad_shape``.

    Args:
        size: Height and width of the result.
        value: The padding's colour, in the image's order of channels.
    """

    def __init__(self, size: tuple[int, int], value: tuple[int, int, int]) -> None:
        self.size, self.value = tuple(size), tuple(value)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pad the image.

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
