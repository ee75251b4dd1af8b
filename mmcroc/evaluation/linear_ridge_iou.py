"""Linear evaluation in seconds: a closed-form ridge classifier on tokens of training images."""

import time

import torch
from mmengine.logging import MMLogger
from torch.nn import functional as F

from mmcroc.functional.distributed import all_reduce_sum, get_rank, get_world_size
from mmcroc.functional.matching import confusion_matrix, intersection_over_union, mean_iou
from mmcroc.functional.ridge import RidgeAccumulator
from mmcroc.registry import METRICS

from .reporting import iou_table
from .token_metric import TokenMetric
from .training_images import TrainingImages


@METRICS.register_module()
class LinearRidgeIoU(TokenMetric):
    """Mean IoU of a linear classifier of frozen tokens, fitted in closed form.

    :meth:`fit` classifies the tokens of a few training images, each token labelled with the class
    of most of its pixels; :class:`mmcroc.engine.FitProbesHook` calls it with the run's model
    before every evaluation. Scores on the evaluated images are interpolated (bilinear) to the
    mask, which is the same as classifying interpolated tokens. Nothing is drawn at random.

    Args:
        train_dataloader (dict): Labelled training images, in a fixed order and without
            augmentation. By default ranks share them without repetition.
        alpha (float): Ridge penalty on weights for standardised tokens, not divided by their
            number.
        absent (str): As for :class:`ClusteringIoU`.
        protocol (str): As for :class:`TokenMetric`, like the rest.
        **kwargs: To :class:`TokenMetric`.
    """

    def __init__(
        self, train_dataloader, alpha=1.0, absent='zero', protocol='linear-ridge', **kwargs
    ):
        super().__init__(protocol, **kwargs)
        self.train_images = TrainingImages(train_dataloader)
        self.settings = dict(alpha=alpha, absent=absent)
        self.alpha = alpha
        self.absent = absent
        self.classifier = None
        self.num_train_images = 0
        self.reset()

    def reset(self):
        """See :class:`TokenMetric`."""
        self.counts = []

    @torch.no_grad()
    def fit(self, model):
        """Fit the classifier to the tokens that ``model.val_step`` hands out.

        Args:
            model (nn.Module): As evaluated. Every rank must call.

        Raises:
            ValueError: A rank got no image, no token has a label, or as :meth:`process`.
        """
        ridge, number = None, 0
        for _, name, sample in self.train_images.through(model, f'{self.protocol}, fit'):
            tokens, mask = self._tokens(sample, name), self._mask(sample, name)
            if ridge is None:
                ridge = RidgeAccumulator(
                    len(tokens), len(self.classes), self.ignore_index, tokens.device
                )
            labels = self._token_labels(mask.to(tokens.device), tokens.shape[-2:])
            ridge.update(tokens.permute(1, 2, 0), labels)
            number += 1
        if ridge is None:
            raise ValueError(
                f'{self.protocol}: rank {get_rank()} got no training image; give at least '
                f'{get_world_size()}'
            )
        self.num_train_images = int(all_reduce_sum(torch.tensor(number)))
        self.classifier = ridge.all_reduce().fit(self.alpha, standardize=True)

    def add(self, number, tokens, mask):
        """See :class:`TokenMetric`."""
        if self.classifier is None:
            raise RuntimeError(
                f'{self.protocol}: no classifier was fitted; add '
                'default_hooks=dict(fit_probes=dict(type="mmcroc.FitProbesHook"))'
            )
        scores = self.classifier.scores(tokens.permute(1, 2, 0)).permute(2, 0, 1)
        scores = F.interpolate(scores[None], size=tuple(mask.shape), mode='bilinear')
        classes = len(self.classes)
        counts = confusion_matrix(
            scores[0].argmax(0), mask.to(scores.device), classes, classes, self.ignore_index
        )
        self.counts.append((number, counts.cpu()))

    def score(self, size):
        """See :class:`TokenMetric`."""
        began = time.perf_counter()
        counts = torch.zeros(len(self.classes), len(self.classes), dtype=torch.long)
        for number, own in self.counts:
            if number < size:
                counts += own
        counts = all_reduce_sum(counts)
        iou = 100 * intersection_over_union(counts, self.absent)
        metrics = dict(
            mIoU=float(mean_iou(iou)), aAcc=float(100 * counts.diagonal().sum() / counts.sum())
        )
        self.report = dict(
            protocol=self.protocol,
            settings=dict(self.settings, num_train_images=self.num_train_images),
            classes=list(self.classes),
            metrics=metrics,
            mIoU_per_seed=[metrics['mIoU']],
            iou_per_seed=[iou.tolist()],
            num_images=size,
            seconds=time.perf_counter() - began,
            ranks=get_world_size(),
        )
        if get_rank() == 0:
            MMLogger.get_current_instance().info(
                f'{self.protocol}: fitted on {self.num_train_images} images, '
                f'scored on {size}\n{iou_table(self.report)}'
            )
        return metrics

    def _token_labels(self, mask, grid):
        """The class of most of a token's labelled pixels: (h, w), ignore_index without any."""
        valid = mask != self.ignore_index
        one_hot = F.one_hot(mask.long() * valid, len(self.classes)) * valid[..., None]
        share = F.adaptive_avg_pool2d(one_hot.permute(2, 0, 1).float(), tuple(grid))
        most, label = share.max(0)
        return torch.where(most > 0, label, self.ignore_index)
