"""From a sample's dict to what the model is given."""

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmpretrain.structures import DataSample

from mmcroc.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackTwoViews(BaseTransform):
    """Pack two views into tensors and their geometry into a data sample.

    Views stay uint8: a quarter of the bytes on the way to the device, where the data preprocessor
    normalises them. The geometry is metainfo, a numpy array, so that nothing moves it about on
    its own; stack it with ``[sample.view_boxes for sample in data_samples]``.

    Required keys: ``img`` (two views), ``view_boxes``. Optional keys: those of ``META_KEYS``.

    Returns:
        ``dict(inputs=[view1, view2], data_samples=DataSample)``; a view is uint8, (3, size, size).
        With MMEngine's ``default_collate``: two tensors of (batch, 3, size, size), and a list.
    """

    META_KEYS = ('img_path', 'sample_idx', 'view_boxes', 'img_shape')

    def transform(self, results):
        """See the class."""
        # Twice as fast as a transposing copy.
        views = [torch.from_numpy(np.stack(cv2.split(view))) for view in results['img']]
        metainfo = {key: results[key] for key in self.META_KEYS if key in results}
        metainfo['unreadable'] = results.get('unreadable', ())
        return dict(inputs=views, data_samples=DataSample(metainfo=metainfo))

    def __repr__(self):
        return f'{type(self).__name__}()'


@TRANSFORMS.register_module()
class PackTwoViewsWithRegions(PackTwoViews):
    """Pack two views and their maps of regions into tensors.

    Required keys: ``img`` (two views), ``oversegmentation``. Optional keys: those of
    ``META_KEYS``.

    Returns:
        ``dict(inputs=[view1, view2], oversegmentation, data_samples=DataSample)``; a view is
        uint8, (3, size, size), the maps are int32, (2, size, size). With MMEngine's
        ``default_collate``: two tensors of (batch, 3, size, size), one of (batch, 2, size, size),
        and a list.
    """

    META_KEYS = ('img_path', 'oversegmentation_path', 'sample_idx', 'img_shape')

    def transform(self, results):
        """See the class."""
        packed = super().transform(results)
        return dict(packed, oversegmentation=torch.from_numpy(results['oversegmentation']))
