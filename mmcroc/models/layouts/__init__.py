"""How others name their weights."""

from .key_map import KeyMap, UnknownKeysError
from .resnet_hf import resnet_from_hf, resnet_to_hf
from .resnet_timm import resnet_from_timm, resnet_to_timm
from .vit_hf import vit_from_hf, vit_to_hf
from .vit_timm import vit_from_timm, vit_to_timm

__all__ = [
    'KeyMap',
    'UnknownKeysError',
    'resnet_from_hf',
    'resnet_from_timm',
    'resnet_to_hf',
    'resnet_to_timm',
    'vit_from_hf',
    'vit_from_timm',
    'vit_to_hf',
    'vit_to_timm',
]
