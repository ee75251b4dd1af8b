"""The linear protocols that MMSegmentation trains and tests: their model, and their score."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmseg.evaluation import IoUMetric
from mmseg.models.segmentors import EncoderDecoder

from mmcroc.evaluation.token_metric import example_of, iou_table
from mmcroc.registry import METRICS, MODELS


@MODELS.register_module()
class LinearSegmentor(EncoderDecoder):
    """One 1×1 convolution with bias, without batch norm, on a frozen backbone.

    The convolution's width and the padding of tested images to whole patches are the backbone's.
    The loss is the cross-entropy's mean over labelled pixels, as PyTorch's; MMSegmentation's
    default divides by all pixels.

    Args:
        backbone: Config of a frozen backbone, such as ``mmcroc.PretrainedBackbone``.
        decode_head: Settings of MMSegmentation's ``FCNHead``: ``num_classes``, and any other.
        **kwargs: Further arguments of MMSegmentation's ``EncoderDecoder``.
    """

    def __init__(self, backbone: dict, decode_head: dict, **kwargs: Any) -> None:
        whole = ConfigDict(mode='whole')
        super().__init__(backbone, decode_head, **{'test_cfg': whole, **kwargs})
        self.data_preprocessor.test_cfg = dict(size_divisor=self.backbone.stride)

    def _init_decode_head(self, decode_head: dict) -> None:
        """Build the head as wide as the backbone, which is there by now."""
        channels = self.backbone.channels
        linear = dict(
            type='mmseg.FCNHead',
            num_convs=0,
            concat_input=False,
            kernel_size=1,
            in_channels=channels,
            channels=channels,
            in_index=0,
            dropout_ratio=0,
            norm_cfg=None,
            align_corners=False,
            loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True),
        )
        super()._init_decode_head({**linear, **decode_head})


@METRICS.register_module()
class SegmentationIoU(IoUMetric):
    """MMSegmentation's mean IoU whose numbers carry a protocol's name, with a report for JSON.

    Args:
        protocol: Name of the protocol, the prefix of every number.
        absent: IoU of a class without any pixel: 'zero' (as the released evaluations) or 'nan'
            (left out of the mean, as MMSegmentation).
        ignore_index: Label of pixels that do not count.
        **kwargs: Further arguments of MMSegmentation's ``IoUMetric``.

    Attributes:
        report: Everything about the last evaluation, on the main process.
        examples: This rank's first ``NUM_EXAMPLES`` images, for a look: ``img_path``, ``label`` and
            ``prediction`` (uint8 arrays).
    """

    NUM_EXAMPLES = 8

    def __init__(
        self, protocol: str, absent: str = 'zero', ignore_index: int = 255, **kwargs: Any
    ) -> None:
        if absent not in ('zero', 'nan'):
            raise ValueError(f"SegmentationIoU: absent must be 'zero' or 'nan', got {absent!r}")
        super().__init__(ignore_index, iou_metrics=['mIoU'], prefix=protocol, **kwargs)
        self.protocol = protocol
        self.absent = absent
        self.report: dict[str, Any] = {}
        self.examples: list[dict] = []

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch's predictions; the first images are kept for a look."""
        if not self.results:
            self.examples = []
        for sample in data_samples[: self.NUM_EXAMPLES - len(self.examples)]:
            label, prediction = (
                sample[key]['data'].squeeze(0) for key in ('gt_sem_seg', 'pred_sem_seg')
            )
            self.examples.append(example_of(sample.get('img_path', ''), label, prediction))
        super().process(data_batch, data_samples)

    def compute_metrics(self, results: list) -> dict[str, float]:
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
