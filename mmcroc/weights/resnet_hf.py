"""ResNets: the names of Hugging Face's ``ResNetModel`` and MMPretrain's."""

from collections.abc import Mapping

from torch import Tensor

from mmcroc.weights.key_map import KeyMap

_STEM = [
    ('embedder.embedder.convolution.weight', 'conv1.weight'),
    ('embedder.embedder.normalization.{bn}', 'bn1.{bn}'),
]


def _names():
    table = list(_STEM)
    for stage in range(4):
        block = f'encoder.stages.{stage}.layers.{{i}}.', f'layer{stage + 1}.{{i}}.'
        parts = [
            pair
            for conv in range(3)
            for pair in (
                (f'layer.{conv}.convolution.weight', f'conv{conv + 1}.weight'),
                (f'layer.{conv}.normalization.{{bn}}', f'bn{conv + 1}.{{bn}}'),
            )
        ]
        parts += [
            ('shortcut.convolution.weight', 'downsample.0.weight'),
            ('shortcut.normalization.{bn}', 'downsample.1.{bn}'),
        ]
        table += [(block[0] + theirs, block[1] + ours) for theirs, ours in parts]
    return KeyMap("Hugging Face's ResNetModel", 'mmpretrain.ResNet', table)


NAMES = _names()


def resnet_from_hf(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of Hugging Face's ``ResNetModel`` as MMPretrain's.

    Args:
        state: Its state dict.

    Raises:
        UnknownKeysError: They are no weights of it.
    """
    return NAMES.rename(state)


def resnet_to_hf(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of ``mmpretrain.ResNet`` as Hugging Face's ``ResNetModel``'s.

    Args:
        state: Its state dict.

    Raises:
        UnknownKeysError: ``ResNetModel`` has no such weights: a stem of three convolutions.
    """
    return NAMES.inverse().rename(state)
