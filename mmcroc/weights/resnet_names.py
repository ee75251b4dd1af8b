"""ResNets: MMPretrain's names, and those of timm, torchvision and Hugging Face.

The plain ResNet has the same names in timm, torchvision and MMPretrain. Those with three
convolutions in their stem (V1c, V1d; timm's ``resnet50c``, ``resnet50d``) differ there, and V1d in
stage 1 besides, whose shortcut has no stride: timm keeps an empty place for the average pooling,
MMPretrain does not. All functions raise UnknownKeysError for keys of other networks.
"""

from collections.abc import Mapping
from functools import cache

from torch import Tensor

from mmcroc.weights.key_map import KeyMap

TIMM, MMPRETRAIN = "timm's ResNet", 'mmpretrain.ResNet'
STEM = [('conv1.weight', 'conv1.weight'), ('bn1.{bn}', 'bn1.{bn}')]
DEEP_STEM = [
    ('conv1.0.weight', 'stem.0.conv.weight'),
    ('conv1.1.{bn}', 'stem.0.bn.{bn}'),
    ('conv1.3.weight', 'stem.1.conv.weight'),
    ('conv1.4.{bn}', 'stem.1.bn.{bn}'),
    ('conv1.6.weight', 'stem.2.conv.weight'),
    ('bn1.{bn}', 'stem.2.bn.{bn}'),
]
SHORTCUT_AFTER_POOLING = [
    ('layer1.{i}.downsample.1.weight', 'layer1.{i}.downsample.0.weight'),
    ('layer1.{i}.downsample.2.{bn}', 'layer1.{i}.downsample.1.{bn}'),
]
STAGES = [
    (f'layer{stage}.{{i}}.{name}', f'layer{stage}.{{i}}.{name}')
    for stage in range(1, 5)
    for name in ('conv{j}.weight', 'bn{j}.{bn}', 'downsample.{j}.{bn}')
]
HUGGING_FACE = KeyMap(
    "Hugging Face's ResNetModel",
    MMPRETRAIN,
    [
        ('embedder.embedder.convolution.weight', 'conv1.weight'),
        ('embedder.embedder.normalization.{bn}', 'bn1.{bn}'),
        *(
            (f'encoder.stages.{stage}.layers.{{i}}.{theirs}', f'layer{stage + 1}.{{i}}.{ours}')
            for stage in range(4)
            for theirs, ours in (
                *((f'layer.{c}.convolution.weight', f'conv{c + 1}.weight') for c in range(3)),
                *((f'layer.{c}.normalization.{{bn}}', f'bn{c + 1}.{{bn}}') for c in range(3)),
                ('shortcut.convolution.weight', 'downsample.0.weight'),
                ('shortcut.normalization.{bn}', 'downsample.1.{bn}'),
            )
        ),
    ],
)


@cache
def _key_map(deep_stem: bool, pooled_shortcut: bool) -> KeyMap:
    """Names of a variant in timm and MMPretrain."""
    table = SHORTCUT_AFTER_POOLING if pooled_shortcut else []
    return KeyMap(TIMM, MMPRETRAIN, table + (DEEP_STEM if deep_stem else STEM) + STAGES)


def resnet_from_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of timm's or torchvision's ResNet, without classifier, as MMPretrain's."""
    pooled = 'layer1.0.downsample.2.weight' in state
    return _key_map('conv1.0.weight' in state, pooled).rename(state)


def resnet_to_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of ``mmpretrain.ResNet``, ``V1c`` or ``V1d`` as timm's."""
    pooled = 'layer2.0.downsample.2.weight' in state
    return _key_map('stem.0.conv.weight' in state, pooled).inverse().rename(state)


#: Rename the weights of Hugging Face's ``ResNetModel``, whose stem is plain, as MMPretrain's.
resnet_from_hf = HUGGING_FACE.rename
resnet_to_hf = HUGGING_FACE.inverse().rename
