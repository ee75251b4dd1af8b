"""What other programs call."""

from mmcroc.models.backbones import load_backbone

from .segmentation import init_model, level_names, segment_image

__all__ = ['init_model', 'level_names', 'load_backbone', 'segment_image']
