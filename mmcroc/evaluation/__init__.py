"""Metrics: dense features in, a table out. Each number carries its protocol's name."""

from .clustering_iou import ClusteringIoU
from .linear_head_iou import LinearHeadIoU
from .linear_ridge_iou import LinearRidgeIoU
from .nf_covering import NFCovering
from .segment_retrieval_iou import SegmentRetrievalIoU
from .segmentation_iou import SegmentationIoU
from .token_metric import TokenMetric

__all__ = [
    'ClusteringIoU',
    'LinearHeadIoU',
    'LinearRidgeIoU',
    'NFCovering',
    'SegmentRetrievalIoU',
    'SegmentationIoU',
    'TokenMetric',
]
