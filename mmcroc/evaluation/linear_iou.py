"""What linear probes share: classifiers of frozen tokens, scored on masks."""

import time

import torch
from mmengine.logging import MMLogger

from mmcroc.functional.distributed import all_reduce_sum, get_rank, get_world_size
from mmcroc.functional.matching import confusion_matrix, intersection_over_union, mean_iou

from .reporting import iou_table
from .token_metric import TokenMetric


class LinearIoU(TokenMetric):
    """Base of the metrics that fit linear classifiers of frozen tokens, one or several.

    ``fit(model)`` sets :attr:`heads`; :class:`mmcroc.engine.FitProbesHook` calls it with the run's
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
        super().__init__(protocol, **kwargs)
        self.absent = absent
        self.settings = dict(absent=absent)
        self.heads = None
        self.num_train_images = 0
        self.reset()

    def fit(self, model):
        """Fit the classifiers to tokens that ``model.val_step`` hands out. Every rank must call."""
        raise NotImplementedError

    def reset(self):
        """See :class:`TokenMetric`."""
        self.counts = []
        self.kept_examples = []

    @torch.no_grad()
    def add(self, number, tokens, mask):
        """See :class:`TokenMetric`."""
        if self.heads is None:
            raise RuntimeError(
                f'{self.protocol}: no classifier was fitted; add '
                'default_hooks=dict(fit_probes=dict(type="mmcroc.FitProbesHook"))'
            )
        # On a CPU, argmax over a dimension that is not the last takes 15 times as long.
        predictions = self.heads.score_maps(tokens, mask.shape).max(1).indices
        classes, mask = len(self.classes), mask.to(predictions.device)
        counts = [
            confusion_matrix(prediction, mask, classes, classes, self.ignore_index)
            for prediction in predictions
        ]
        self.counts.append((number, torch.stack(counts).cpu()))
        if number < self.NUM_EXAMPLES:
            label, prediction = (
                values.clamp(max=255).to('cpu', torch.uint8).numpy()
                for values in (mask, predictions[0])
            )
            example = dict(img_path=self.paths[number], label=label, prediction=prediction)
            self.kept_examples.append((number, example))

    def score(self, size):
        """See :class:`TokenMetric`."""
        began = time.perf_counter()
        counts = torch.zeros(
            len(self.heads.weight), len(self.classes), len(self.classes), dtype=torch.long
        )
        for number, own in self.counts:
            if number < size:
                counts += own
        counts = all_reduce_sum(counts)
        self.examples = [example for number, example in self.kept_examples if number < size]
        iou = torch.stack([100 * intersection_over_union(own, self.absent) for own in counts])
        miou = torch.stack([mean_iou(own) for own in iou])
        correct = counts.diagonal(dim1=1, dim2=2).sum(1) / counts.sum((1, 2))
        metrics = dict(mIoU=float(miou.mean()), aAcc=float(100 * correct.mean()))
        if len(miou) > 1:
            metrics['mIoU_std'] = float(miou.std())
        self.report = dict(
            protocol=self.protocol,
            settings=dict(self.settings, num_train_images=self.num_train_images),
            classes=list(self.classes),
            metrics=metrics,
            mIoU_per_seed=miou.tolist(),
            iou_per_seed=iou.tolist(),
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

    def _no_training_image(self):
        return ValueError(
            f'{self.protocol}: rank {get_rank()} got no training image; give at least '
            f'{get_world_size()}'
        )
