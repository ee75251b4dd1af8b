from .colour_position import ColourPosition as ColourPosition
from .feature_segmentor import FeatureSegmentor as FeatureSegmentor
from .huggingface_backbone import HuggingFaceBackbone as HuggingFaceBackbone
from .pretrained_backbone import PretrainedBackbone as PretrainedBackbone
from .pretrained_backbone import load_backbone as load_backbone
from .timm_backbone import TimmBackbone as TimmBackbone
from .vision_transformer import VisionTransformer as VisionTransformer
