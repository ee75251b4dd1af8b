"""What transforms that make two square views of an image have in common."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from mmcroc.registry import TRANSFORMS


class ColouredViews(BaseTransform):
    """Base of transforms that make two square views, each with its own colour transforms.

    Args:
        size: Side of the views, pixels.
        flip_prob: Probability of mirroring a view.
        view_transforms: Colour transforms of the first and of the second view. They must keep
            shape and type.

    Raises:
        ValueError: ``view_transforms`` is not two lists.
    """

    def __init__(
        self, size: int, flip_prob: float, view_transforms: Sequence[Sequence[dict | Callable]]
    ):
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

    def colour(self, view: np.ndarray, transforms: Sequence[Callable]) -> np.ndarray:
        """Apply one view's colour transforms.

        Args:
            view: (size, size, 3), uint8 RGB.
            transforms: Entry of ``self.view_transforms``.

        Returns:
            (size, size, 3), uint8 RGB.

        Raises:
            TypeError: A transform has changed shape or type.
        """
        results: dict[str, Any] = dict(img=view)
        for transform in transforms:
            results = transform(results)
        self.require_rgb(results['img'], (self.size, self.size), f'A view after {transforms}')
        return results['img']

    def require_rgb(self, img: np.ndarray, shape: Sequence[int], what: str) -> None:
        """Refuse what is not an image of 8 bits.

        Args:
            img: Image to check.
            shape: Height and width that it must have.
            what: Name of the image in the error.

        Raises:
            TypeError: The image is not uint8 of (height, width, 3).
        """
        if img.dtype != np.uint8 or img.shape != (*shape, 3):
            raise TypeError(
                f'{type(self).__name__}: {what} must be uint8 of shape {(*shape, 3)}, but is '
                f'{img.dtype} of {img.shape}. Normalisation belongs into the data preprocessor.'
            )

    def __repr__(self) -> str:
        settings = ', '.join(f'{name}={value}' for name, value in vars(self).items())
        return f'{type(self).__name__}({settings})'
