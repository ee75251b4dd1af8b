"""Registered modules. They wire; the arithmetic is in ``mmcroc.functional``."""

from .backbones import (
    ColourPosition,
    HuggingFaceBackbone,
    PixelEmbedding,
    PretrainedBackbone,
    TimmBackbone,
    VisionTransformer,
)
from .data_preprocessor import TwoViewDataPreprocessor
from .grouping import ClusteringTransformer
from .heads import CrOCHead, HSGHead
from .necks import CrOCNeck, HSGNeck
from .region_view_data_preprocessor import RegionViewDataPreprocessor
from .segmentors import FeatureSegmentor, HierarchySegmentor
from .selfsup import HSG, CrOC
from .target_generators import OnlineClustering

__all__ = [
    'HSG',
    'ClusteringTransformer',
    'ColourPosition',
    'CrOC',
    'CrOCHead',
    'CrOCNeck',
    'FeatureSegmentor',
    'HSGHead',
    'HSGNeck',
    'HierarchySegmentor',
    'HuggingFaceBackbone',
    'OnlineClustering',
    'PixelEmbedding',
    'PretrainedBackbone',
    'RegionViewDataPreprocessor',
    'TimmBackbone',
    'TwoViewDataPreprocessor',
    'VisionTransformer',
]
