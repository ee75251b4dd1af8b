"""What linear probes share: classifiers of frozen tokens, scored on masks."""

import time

import torch
from mmengine.logging import MMLogger

from mmcroc.evaluation.pixel_iou import PixelIoU
from mmcroc.evaluation.reporting import iou_table
from mmcroc.numerics.distributed import get_rank, get_world_size


class LinearIoU(PixelIoU):
    """Base of the metrics that fit linear classifiers of frozen tokens, one or several.

    ``fit(model)`` sets :attr:`heads`; :class:`mmcroc.training.FitProbesHook` calls it with the run's
    model before every evaluation. Scores on the evaluated images are interpolated (bilinear) to
    the mask, which is the same as classifying interpolated tokens.

    Args:
        protocol (str): As for :class:`TokenMetric`, like the rest.
        absent (str): As for :class:`ClusteringIoU`.
        **kwargs: To :class:`TokenMetric`.

    Attributes:
        heads (LinearHeads | None): The classifiers.
        num_train_images (int): What they were fitted on.
    """

    def __init__(self, protocol, absent='zero', **kwargs):
        super().__init__(protocol, absent, **kwargs)
        self.settings = dict(absent=absent)
        self.heads = None
        self.num_train_images = 0

    def fit(self, model):
        """Fit the classifiers to tokens that ``model.val_step`` hands out. Every rank must call."""
        raise NotImplementedError

    @torch.no_grad()
    def add(self, number, tokens, mask):
        """See :class:`TokenMetric`."""
        if self.heads is None:
            raise RuntimeError(
                f'{self.protocol}: no classifier was fitted; add '
                'default_hooks=dict(fit_probes=dict(type="mmcroc.FitProbesHook"))'
            )
        # On a CPU, argmax over a dimension that is not the last takes 15 times as long.
        self.count(number, self.heads.score_maps(tokens, mask.shape).max(1).indices, mask)

    def score(self, size):
        """See :class:`TokenMetric`."""
        began = time.perf_counter()
        self.report = self.count_report(size, len(self.heads.weight))
        self.report['settings'] = dict(self.settings, num_train_images=self.num_train_images)
        self.report['seconds'] = time.perf_counter() - began
        if get_rank() == 0:
            MMLogger.get_current_instance().info(
                f'{self.protocol}: fitted on {self.num_train_images} images, '
                f'scored on {size}\n{iou_table(self.report)}'
            )
        return self.report['metrics']

    def _no_training_image(self):
        return ValueError(
            f'{self.protocol}: rank {get_rank()} got no training image; give at least '
            f'{get_world_size()}'
        )
