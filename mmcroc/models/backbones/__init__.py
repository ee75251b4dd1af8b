from .colour_position import ColourPosition
from .pixel_embedding import PixelEmbedding
from .pretrained_backbone import PretrainedBackbone, load_backbone
from .timm_backbone import TimmBackbone
from .vision_transformer import VisionTransformer

__all__ = [
    'ColourPosition',
    'PixelEmbedding',
    'PretrainedBackbone',
    'TimmBackbone',
    'VisionTransformer',
    'load_backbone',
]
