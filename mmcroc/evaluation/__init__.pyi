from .clustering_iou import ClusteringIoU as ClusteringIoU
from .hierarchy_segmentor import HierarchySegmentor as HierarchySegmentor
from .linear_head_iou import LinearHeadIoU as LinearHeadIoU
from .linear_ridge_iou import LinearRidgeIoU as LinearRidgeIoU
from .nf_covering import NFCovering as NFCovering
from .segment_retrieval_iou import SegmentRetrievalIoU as SegmentRetrievalIoU
from .segmentation_iou import SegmentationIoU as SegmentationIoU
from .token_metric import TokenMetric as TokenMetric
