"""Two random views of an image, with the geometry that relates them."""

import numpy as np
from mmcv.transforms import BaseTransform

from mmcroc.data.two_views import crop_resize_flip, sample_crop_box
from mmcroc.registry import TRANSFORMS


class ColouredViews(BaseTransform):
    """What transforms that make two square views share: the colour transforms of each view.

    Args:
        size (int): Side of the views, pixels.
        flip_prob (float): Probability of mirroring a view.
        view_transforms (Sequence[Sequence[dict]]): The transforms of the first and of the second
            view. They must keep shape and type.

    Raises:
        ValueError: ``view_transforms`` has not two lists.
    """

    def __init__(self, size, flip_prob, view_transforms):
        if len(view_transforms) != 2:
            raise ValueError(
                f'{type(self).__name__}.view_transforms must be two lists of transforms, one per '
                f'view, but has {len(view_transforms)} entries.'
            )
        self.size = size
        self.flip_prob = flip_prob
        self.view_transforms = [
            [TRANSFORMS.build(cfg) if isinstance(cfg, dict) else cfg for cfg in cfgs]
            for cfgs in view_transforms
        ]

    def colour(self, view, transforms):
        """Apply one view's transforms to it: uint8 RGB (size, size, 3), in and out."""
        results = dict(img=view)
        for transform in transforms:
            results = transform(results)
        self._check(results['img'], (self.size, self.size), f'A view after {transforms}')
        return results['img']

    def _check(self, img, shape, what):
        if img.dtype != np.uint8 or img.shape != (*shape, 3):
            raise TypeError(
                f'{type(self).__name__}: {what} must be uint8 of shape {(*shape, 3)}, but is '
                f'{img.dtype} of {img.shape}. Normalisation belongs into the data preprocessor.'
            )

    def __repr__(self):
        settings = ', '.join(f'{name}={value}' for name, value in vars(self).items())
        return f'{type(self).__name__}({settings})'


@TRANSFORMS.register_module()
class TwoViews(ColouredViews):
    """Make two views: random resized crop, flip, then each view's own colour transforms.

    Each view's geometry is five numbers: the crop box x0, y0, w, h in pixels of the source image
    and the flip. A patch in column c of g (from the left; count from the right if flipped) has
    its centre at x = x0 + w (c + 1/2) / g - 1/2 in the source, and likewise for y: no map of
    coordinates has to be warped along (cf. CrOC, arXiv 2303.13245, section 3.2).

    Required keys: ``img``, uint8 RGB (height, width, 3).
    Modified keys: ``img``, a list of two uint8 RGB (size, size, 3).
    Added keys: ``view_boxes``, float32 (2, 5) of x0, y0, w, h, flip (1 or 0); ``img_shape``, the
    source image's (height, width).

    Args:
        size (int): Side of the views, pixels. Defaults to 224.
        scale (tuple[float, float]): Range of a crop's share of the area. Defaults to (0.25, 1).
        ratio (tuple[float, float]): Range of a crop's width / height. Defaults to (3/4, 4/3).
        flip_prob (float): Probability of mirroring a view. Defaults to 0.5.
        view_transforms (Sequence[Sequence[dict]]): The transforms of the first and of the second
            view. They must keep shape and type. Defaults to none.

    Raises:
        ValueError: ``view_transforms`` has not two lists.
        TypeError: ``img``, or a view after its transforms, is not uint8 RGB.

    Example:
        >>> TwoViews(view_transforms=[
        ...     [dict(type='mmcroc.GaussianBlur', prob=1.0)],
        ...     [dict(type='mmcroc.Solarize', prob=0.2)],
        ... ])
    """

    def __init__(
        self,
        size=224,
        scale=(0.25, 1.0),
        ratio=(3 / 4, 4 / 3),
        flip_prob=0.5,
        view_transforms=((), ()),
    ):
        super().__init__(size, flip_prob, view_transforms)
        self.scale = tuple(scale)
        self.ratio = tuple(ratio)

    def transform(self, results):
        """See the class."""
        img = results['img']
        self._check(img, img.shape[:2], 'img')
        height, width = img.shape[:2]
        views, boxes = [], []
        for transforms in self.view_transforms:
            box = sample_crop_box(height, width, self.scale, self.ratio)
            flip = np.random.rand() < self.flip_prob  # noqa: NPY002  seeded per sample
            views.append(self.colour(crop_resize_flip(img, box, self.size, flip), transforms))
            boxes.append((*box, flip))
        results['img'] = views
        results['img_shape'] = (height, width)
        results['view_boxes'] = np.array(boxes, dtype=np.float32)
        return results
