"""Two random views of an image and of its map of regions, and their way to the device."""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from mmpretrain.structures import DataSample

from mmcroc.data.two_views import ColouredViews, TwoViewDataPreprocessor
from mmcroc.numerics.resize import nearest_indices
from mmcroc.registry import MODELS, TRANSFORMS

#: In a view's map of regions: a pixel outside of the image, of no region.
IGNORE = -1


@TRANSFORMS.register_module()
class TwoViewsWithRegions(ColouredViews):
    """Make two views of an image with regions: flip, rescale, random crop, colour transforms.

    Each view independently, as HSG does (arXiv 2204.11432): mirror it, rescale it by a uniform
    factor (image bilinear, regions nearest), crop size x size pixels at a uniform place, pad at
    the bottom and the right where the image is smaller. A region keeps its id, which is what
    makes the views correspond. They need not share a region, or any pixel. Colour transforms see
    the padded image, and leave the regions alone.

    Required keys: ``img``, uint8 RGB (height, width, 3); ``oversegmentation``, integer (height,
    width), at least -1, which marks pixels of no region.
    Modified keys: ``img``, a list of two uint8 RGB (size, size, 3); ``oversegmentation``, int32
    (2, size, size), -1 in the padding. Added keys: ``img_shape``, the source's (height, width).

    Args:
        size: Side of the views, pixels.
        scale: Range of the factor of rescaling.
        flip_prob: Probability of mirroring a view.
        pad_value: Colour of the padding, RGB; ImageNet's mean by default.
        view_transforms: Colour transforms of the first and of the second view. They must keep
            shape and type.
        colour_on_device: Leave applying them to the data preprocessor.

    Raises:
        ValueError: A setting is out of range, or a map has another size than the image.
        TypeError: ``img``, or a view after its transforms, is not uint8 RGB, or
            ``oversegmentation`` is not integer.

    Example:
        >>> colour = [dict(type='mmcroc.ColorJitter', saturation=0.4),
        ...           dict(type='mmcroc.RandomGrayscale')]
        >>> TwoViewsWithRegions(size=448, view_transforms=[colour, colour])
    """

    def __init__(
        self,
        size: int = 224,
        scale: tuple[float, float] = (0.5, 1.5),
        flip_prob: float = 0.5,
        pad_value: tuple[int, int, int] = (124, 116, 104),
        view_transforms: Sequence[Sequence[dict | Callable]] = ((), ()),
        colour_on_device: bool = False,
    ):
        super().__init__(size, flip_prob, view_transforms, colour_on_device)
        self.scale = scale
        self.pad_value = tuple(pad_value)
        valid = {
            'size >= 1': isinstance(size, int) and size >= 1,
            'scale of two numbers, 0 < low <= high': len(self.scale) == 2
            and 0 < self.scale[0] <= self.scale[1],
            'flip_prob in [0, 1]': 0 <= flip_prob <= 1,
            'pad_value of three numbers in 0..255': len(self.pad_value) == 3
            and all(0 <= value <= 255 for value in self.pad_value),
        }
        broken = [rule for rule, kept in valid.items() if not kept]
        if broken:
            raise ValueError(f'TwoViewsWithRegions needs {"; ".join(broken)}, but is {self}.')

    def transform(self, results: dict) -> dict:
        """Make the views of one sample."""
        img, regions = results['img'], results['oversegmentation']
        self.require_rgb(img, img.shape[:2], 'img')
        if regions.shape != img.shape[:2]:
            raise ValueError(
                f'TwoViewsWithRegions: oversegmentation is {regions.shape}, but img is {img.shape}.'
            )
        if regions.dtype.kind not in 'iu':
            raise TypeError(
                f'TwoViewsWithRegions: oversegmentation must be integer, but is {regions.dtype}.'
            )
        views = []
        region_views = np.full((2, self.size, self.size), IGNORE, dtype=np.int32)
        for transforms, region_view in zip(self.view_transforms, region_views, strict=True):
            view = np.empty((self.size, self.size, 3), dtype=np.uint8)
            view[:] = self.pad_value
            self._cut(img, regions, view, region_view)
            views.append(self.colour(view, transforms, results))
        results['img'] = views
        results['oversegmentation'] = region_views
        results['img_shape'] = img.shape[:2]
        return results

    def _cut(
        self, img: np.ndarray, regions: np.ndarray, view: np.ndarray, region_view: np.ndarray
    ) -> None:
        """Sample a view's geometry and write image and regions into (size, size) of padding."""
        source = img.shape[:2]
        factor = np.random.uniform(self.scale[0], self.scale[1])  # noqa: NPY002  seeded per sample
        shape = [max(1, round(factor * side)) for side in source]
        top, left = (
            np.random.randint(max(0, side - self.size) + 1)  # noqa: NPY002
            for side in shape
        )
        height, width = (min(side, self.size) for side in shape)
        # Mirroring what was cut out equals mirroring first: its place is uniform either way.
        step = -1 if np.random.rand() < self.flip_prob else 1  # noqa: NPY002
        # Resized whole: OpenCV's rounding depends on the place, so a window would differ.
        resized = cv2.resize(img, shape[::-1], interpolation=cv2.INTER_LINEAR)
        view[:height, :width] = resized[top : top + height, left : left + width][:, ::step]
        rows = nearest_indices(source[0], shape[0], top, height)
        columns = nearest_indices(source[1], shape[1], left, width)[::step]
        region_view[:height, :width] = regions[rows].take(columns, axis=1)


def central_view(
    img: np.ndarray, regions: np.ndarray, size: int, min_scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """The part of an image that training's views show, without chance: its centre, at its largest.

    The image is shrunk until it fits a view, but no further than training does; what is still
    larger is cut to its centre. It keeps its aspect, and is neither enlarged nor padded.

    Args:
        img: Image, uint8 (H, W, 3).
        regions: Integers (H, W).
        size: Longest side allowed, pixels: the views' side.
        min_scale: Smallest factor of rescaling.
    """
    source = img.shape[:2]
    factor = max(min(1, size / max(source)), min(1, min_scale))
    target = [max(1, round(factor * side)) for side in source]
    height, width = (min(side, size) for side in target)
    top, left = (target[0] - height) // 2, (target[1] - width) // 2
    resized = cv2.resize(img, target[::-1], interpolation=cv2.INTER_LINEAR)
    rows = nearest_indices(source[0], target[0], top, height)
    columns = nearest_indices(source[1], target[1], left, width)
    return resized[top : top + height, left : left + width], regions[rows][:, columns]


@MODELS.register_module()
class RegionViewDataPreprocessor(TwoViewDataPreprocessor):
    """Normalise two stacks of views on the device and take their maps of regions along.

    The views of an image come one after the other (image-major), unlike the parent's: an image's
    segments of both views are then neighbours, and a slice of the batch holds whole images.

    A collated batch has ``inputs``, a list of two (B, 3, S, S) tensors, ``oversegmentation``,
    integer (B, 2, S, S), -1 where there is no region, and ``data_samples``; or single images as in
    the parent. Two views become ``inputs``, one (2B, 3, S, S) float tensor in the order image 0
    view 0, image 0 view 1, image 1 view 0, ..., and ``oversegmentation``, int32 (2B, S, S).
    """

    def _forward_views(
        self, views: Sequence[torch.Tensor], samples: list[DataSample] | None, data: dict[str, Any]
    ) -> dict[str, Any]:
        """Prepare a batch of two stacks of views and their maps of regions."""
        regions = data.get('oversegmentation')
        if len(views) != 2 or regions is None:
            raise ValueError(
                f'a batch needs 2 views and their oversegmentation, got {len(views)} views and '
                f'oversegmentation={type(regions).__name__}; does the pipeline end in '
                'TwoViewsWithRegions, PackTwoViewsWithRegions and the dataloader have '
                'collate_fn=dict(type="default_collate")?'
            )
        expected = (len(views[0]), 2, *views[0].shape[2:])
        if regions.shape != expected:
            raise ValueError(
                f'views of {tuple(views[0].shape)} need oversegmentation of {expected}, but it is '
                f'{tuple(regions.shape)}'
            )
        images = torch.stack([self._to_device(view) for view in views], dim=1).flatten(0, 1)
        images = self._colour(images, samples, axis=0)
        regions = self._to_device(regions.int()).flatten(0, 1)
        return dict(inputs=self._normalise(images), oversegmentation=regions, data_samples=samples)
