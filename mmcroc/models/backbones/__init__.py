from .colour_position import ColourPosition
from .huggingface_backbone import HuggingFaceBackbone
from .pixel_embedding import PixelEmbedding
from .pretrained_backbone import PretrainedBackbone, load_backbone
from .timm_backbone import TimmBackbone
from .vision_transformer import VisionTransformer

__all__ = [
    'ColourPosition',
    'HuggingFaceBackbone',
    'PixelEmbedding',
    'PretrainedBackbone',
    'TimmBackbone',
    'VisionTransformer',
    'load_backbone',
]
