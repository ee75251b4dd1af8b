from .dense_model import DenseModel as DenseModel
from .feature_segmentor import FeatureSegmentor as FeatureSegmentor
from .library_backbones import ColourPosition as ColourPosition
from .library_backbones import HuggingFaceBackbone as HuggingFaceBackbone
from .library_backbones import TimmBackbone as TimmBackbone
from .pretrained_backbone import PretrainedBackbone as PretrainedBackbone
from .pretrained_backbone import load_model as load_model
from .vision_transformer import VisionTransformer as VisionTransformer
