"""Registered modules. They wire; the arithmetic is in ``mmcroc.functional``."""

from .backbones import ColourPosition, PretrainedBackbone, TimmBackbone, VisionTransformer
from .data_preprocessor import TwoViewDataPreprocessor
from .heads import CrOCHead
from .necks import CrOCNeck
from .region_view_data_preprocessor import RegionViewDataPreprocessor
from .segmentors import FeatureSegmentor
from .selfsup import CrOC
from .target_generators import OnlineClustering

__all__ = [
    'ColourPosition',
    'CrOC',
    'CrOCHead',
    'CrOCNeck',
    'FeatureSegmentor',
    'OnlineClustering',
    'PretrainedBackbone',
    'RegionViewDataPreprocessor',
    'TimmBackbone',
    'TwoViewDataPreprocessor',
    'VisionTransformer',
]
