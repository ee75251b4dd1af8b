"""What the metrics share that classify each image's pixels at once, without the other images."""

import torch

from mmcroc.evaluation.token_metric import TokenMetric
from mmcroc.numerics.distributed import all_reduce_sum, get_world_size
from mmcroc.numerics.matching import confusion_matrix, intersection_over_union, mean_iou


class PixelIoU(TokenMetric):
    """Base of the metrics that keep of an image no more than how its pixels were classified.

    Args:
        protocol (str): As for :class:`TokenMetric`, like the rest.
        absent (str): As for :class:`ClusteringIoU`.
        **kwargs: To :class:`TokenMetric`.
    """

    def __init__(self, protocol, absent='zero', **kwargs):
        super().__init__(protocol, **kwargs)
        self.absent = absent
        self.reset()

    def reset(self):
        """See :class:`TokenMetric`."""
        self.counts = []
        self.kept_examples = []

    def count(self, number, predictions, mask):
        """Keep an image's confusion matrices.

        Args:
            number (int): As for :meth:`add`.
            predictions (Tensor): (S, H, W), classes by each of S classifiers.
            mask (Tensor): (H, W), labels.
        """
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

    def count_report(self, size, num_classifiers=1):
        """What confusion matrices of the first ``size`` images tell, for :attr:`report`.

        Sets :attr:`examples`. Every rank must call.

        Args:
            size (int): As for :meth:`score`.
            num_classifiers (int): S.

        Returns:
            dict: ``metrics`` (the mean over classifiers, and its spread if there are several),
            ``mIoU_per_seed``, ``iou_per_seed``, and what was scored.
        """
        classes = len(self.classes)
        counts = torch.zeros(num_classifiers, classes, classes, dtype=torch.long)
        for number, own in self.counts:
            if number < size:
                counts += own
        counts = all_reduce_sum(counts)
        self.examples = [example for number, example in self.kept_examples if number < size]
        iou = torch.stack([100 * intersection_over_union(own, self.absent) for own in counts])
        miou = torch.stack([mean_iou(own) for own in iou])
        correct = counts.diagonal(dim1=1, dim2=2).sum(1) / counts.sum((1, 2))
        metrics = dict(mIoU=float(miou.mean()), aAcc=float(100 * correct.mean()))
        if num_classifiers > 1:
            metrics['mIoU_std'] = float(miou.std())
        return dict(
            protocol=self.protocol,
            classes=list(self.classes),
            metrics=metrics,
            mIoU_per_seed=miou.tolist(),
            iou_per_seed=iou.tolist(),
            num_images=size,
            ranks=get_world_size(),
        )
