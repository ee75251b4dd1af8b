from .feature_segmentor import FeatureSegmentor
from .hierarchy_segmentor import HierarchySegmentor

__all__ = ['FeatureSegmentor', 'HierarchySegmentor']
