"""Two random views of an image, with the geometry that relates them."""

from collections.abc import Callable, Sequence

import numpy as np

from mmcroc.data.two_views import ColouredViews, crop_resize_flip, sample_crop_box
from mmcroc.registry import TRANSFORMS


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
    source image's (height, width); with ``colour_on_device`` ``view_colours``, float64 (2, 11).

    Args:
        size: Side of the views, pixels.
        scale: Range of a crop's share of the area.
        ratio: Range of a crop's width / height.
        flip_prob: Probability of mirroring a view.
        view_transforms: Colour transforms of the first and of the second view. They must keep
            shape and type.
        colour_on_device: Leave applying them to the data preprocessor.

    Raises:
        ValueError: ``view_transforms`` is not two lists.
        TypeError: ``img``, or a view after its transforms, is not uint8 RGB.

    Example:
        >>> TwoViews(view_transforms=[
        ...     [dict(type='mmcroc.GaussianBlur', prob=1.0)],
        ...     [dict(type='mmcroc.Solarize', prob=0.2)],
        ... ])
    """

    def __init__(
        self,
        size: int = 224,
        scale: tuple[float, float] = (0.25, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip_prob: float = 0.5,
        view_transforms: Sequence[Sequence[dict | Callable]] = ((), ()),
        colour_on_device: bool = False,
    ):
        super().__init__(size, flip_prob, view_transforms, colour_on_device)
        self.scale = (scale[0], scale[1])
        self.ratio = (ratio[0], ratio[1])

    def transform(self, results: dict) -> dict:
        """Make the views of one sample."""
        img = results['img']
        self.require_rgb(img, img.shape[:2], 'img')
        height, width = img.shape[:2]
        views, boxes = [], []
        for transforms in self.view_transforms:
            box = sample_crop_box(height, width, self.scale, self.ratio)
            flip = np.random.rand() < self.flip_prob  # noqa: NPY002  seeded per sample
            view = crop_resize_flip(img, box, self.size, flip)
            views.append(self.colour(view, transforms, results))
            boxes.append((*box, flip))
        results['img'] = views
        results['img_shape'] = (height, width)
        results['view_boxes'] = np.array(boxes, dtype=np.float32)
        return results
