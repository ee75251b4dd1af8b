"""Metrics: dense features in, a table out. Each number carries its protocol's name."""

from .clustering_iou import ClusteringIoU
from .linear_ridge_iou import LinearRidgeIoU
from .token_metric import TokenMetric

__all__ = ['ClusteringIoU', 'LinearRidgeIoU', 'TokenMetric']
