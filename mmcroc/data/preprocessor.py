"""Two uint8 views and their geometry, to the device."""

import numpy as np
import torch
from mmpretrain.models import SelfSupDataPreprocessor

from mmcroc.registry import MODELS


@MODELS.register_module()
class TwoViewDataPreprocessor(SelfSupDataPreprocessor):
    """Normalise two stacks of views on the device and collect their geometry.

    Views travel as uint8 (a quarter of the traffic). The data samples stay on the host; the view
    boxes in them are gathered into one tensor and copied without waiting.
    """

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare a collated batch.

        Args:
            data: ``inputs``, a list of two (B, 3, S, S) tensors, and ``data_samples``, a list of
                B data samples with metainfo ``view_boxes`` (2, 5). To extract features or to
                validate: one (B, 3, H, W) tensor, or a list of B images (3, H, W) of one size.
            training: Unused.

        Returns:
            ``inputs``: one (2B, 3, S, S) float tensor, view 1's images first, or (B, 3, H, W) for
            single images; ``data_samples``; ``view_boxes`` (2, B, 5) where there are two views.
        """
        views, samples = data['inputs'], data.get('data_samples')
        if not torch.is_tensor(views) and views[0].dim() == 3:
            views = self._stack(views)
        if torch.is_tensor(views):
            return dict(inputs=self._normalise(self._to_device(views)), data_samples=samples)
        return self._forward_views(views, samples, data)

    def _forward_views(self, views, samples, data):
        """A batch of two stacks of views; see :meth:`forward`."""
        if len(views) != 2 or samples is None:
            raise ValueError(
                f'a batch needs 2 views and their data samples, got {len(views)} views and '
                f'data_samples={type(samples).__name__}; does the pipeline end in TwoViews, '
                'PackTwoViews and the dataloader have collate_fn=dict(type="default_collate")?'
            )
        boxes = np.stack([sample.view_boxes for sample in samples], axis=1)
        boxes = torch.from_numpy(boxes.astype(np.float32))
        images = torch.cat([self._to_device(view) for view in views])
        return dict(
            inputs=self._normalise(images), data_samples=samples, view_boxes=self._to_device(boxes)
        )

    @staticmethod
    def _stack(images):
        shapes = sorted({tuple(image.shape) for image in images})
        if len(shapes) > 1:
            raise ValueError(
                f'images of one batch have shapes {shapes}: resize them alike, or use batch_size=1'
            )
        return torch.stack(list(images))

    def _to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        if self.device.type == 'cuda' and not tensor.is_pinned():
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)

    def _normalise(self, images: torch.Tensor) -> torch.Tensor:
        if self._channel_conversion:
            images = images.flip(1)
        images = images.float()
        return (images - self.mean) / self.std if self._enable_normalize else images
