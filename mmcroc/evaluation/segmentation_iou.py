"""IoU of a segmentor's predictions, under a protocol's name."""

import torch
from mmengine.logging import MMLogger
from mmseg.evaluation import IoUMetric

from mmcroc.evaluation.reporting import iou_table
from mmcroc.registry import METRICS


@METRICS.register_module()
class SegmentationIoU(IoUMetric):
    """MMSegmentation's mean IoU whose numbers carry a protocol's name, with a report for JSON.

    Args:
        protocol (str): The protocol's name: the prefix of every number.
        absent (str): IoU of a class without any pixel: 'zero' (as the released evaluations) or
            'nan' (left out of the mean, as MMSegmentation).
        ignore_index (int): Label of pixels that do not count.
        **kwargs: As MMSegmentation's.

    Attributes:
        report (dict): Everything about the last evaluation, on the main process.
        examples (list[dict]): This rank's first ``NUM_EXAMPLES`` images, for a look: ``img_path``,
            ``label`` and ``prediction`` (uint8 arrays).
    """

    NUM_EXAMPLES = 8

    def __init__(self, protocol, absent='zero', ignore_index=255, **kwargs):
        if absent not in ('zero', 'nan'):
            raise ValueError(f"SegmentationIoU: absent must be 'zero' or 'nan', got {absent!r}")
        super().__init__(ignore_index, iou_metrics=['mIoU'], prefix=protocol, **kwargs)
        self.protocol = protocol
        self.absent = absent
        self.report = {}
        self.examples = []

    def process(self, data_batch, data_samples):
        """As MMSegmentation's, and the first images are kept."""
        if not self.results:
            self.examples = []
        for sample in data_samples[: self.NUM_EXAMPLES - len(self.examples)]:
            label, prediction = (
                sample[key]['data'].squeeze(0).to('cpu', torch.uint8).numpy()
                for key in ('gt_sem_seg', 'pred_sem_seg')
            )
            path = sample.get('img_path', '')
            self.examples.append(dict(img_path=path, label=label, prediction=prediction))
        super().process(data_batch, data_samples)

    def compute_metrics(self, results):
        """Metrics in percent from the areas (intersection, union, prediction, label) of images."""
        if self.format_only:
            return super().compute_metrics(results)
        intersect, union, _, label = (sum(parts).double() for parts in zip(*results, strict=True))
        iou = 100 * intersect / union
        iou = iou.nan_to_num(0) if self.absent == 'zero' else iou
        metrics = dict(
            mIoU=float(iou.nanmean()),
            aAcc=float(100 * torch.nan_to_num(intersect.sum() / label.sum())),
        )
        self.report = dict(
            protocol=self.protocol,
            settings=dict(absent=self.absent),
            classes=list(self.dataset_meta['classes']),
            metrics=metrics,
            mIoU_per_seed=[metrics['mIoU']],
            iou_per_seed=[iou.tolist()],
            num_images=len(results),
        )
        logger = MMLogger.get_current_instance()
        logger.info(f'{self.protocol}: {len(results)} images\n{iou_table(self.report)}')
        return metrics
