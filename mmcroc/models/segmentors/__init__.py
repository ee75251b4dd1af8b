from .feature_segmentor import FeatureSegmentor

__all__ = ['FeatureSegmentor']
