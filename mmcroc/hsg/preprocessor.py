"""Two uint8 views and their maps of regions, to the device."""

from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.structures import DataSample

from mmcroc.data.two_views import TwoViewDataPreprocessor
from mmcroc.registry import MODELS


@MODELS.register_module()
class RegionViewDataPreprocessor(TwoViewDataPreprocessor):
    """Normalise two stacks of views on the device and take their maps of regions along.

    The views of an image come one after the other (image-major), unlike the parent's: an image's
    segments of both views are then neighbours, and a slice of the batch holds whole images.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare a collated batch.

        Args:
            data: ``inputs``, a list of two (B, 3, S, S) tensors; ``oversegmentation``, integer
                (B, 2, S, S), -1 where there is no region; ``data_samples``, optional. Or single
                images: ``inputs``, (B, 3, H, W) or a list of B images (3, H, W) of one size.
            training: Unused.

        Returns:
            ``inputs``: one (2B, 3, S, S) float tensor, in the order image 0 view 0, image 0
            view 1, image 1 view 0, ...; ``oversegmentation``: int32 (2B, S, S) in the same order;
            ``data_samples``. For single images ``inputs`` (B, 3, H, W) and ``data_samples``.

        Raises:
            ValueError: Not two views, no regions, or regions of another shape than the views.
        """
        return super().forward(data, training)

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
        regions = self._to_device(regions.int()).flatten(0, 1)
        return dict(inputs=self._normalise(images), oversegmentation=regions, data_samples=samples)
