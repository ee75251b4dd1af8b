"""The backbone that a checkpoint holds, whatever wrote it."""

from collections.abc import Mapping
from typing import NamedTuple

from mmengine.logging import print_log
from torch import Tensor, nn

from mmcroc.features.stride_8 import at_stride_8
from mmcroc.registry import MODELS
from mmcroc.weights.checkpoint_config import backbone_config, model_kind
from mmcroc.weights.checkpoint_file import read_checkpoint
from mmcroc.weights.checkpoint_networks import backbone_weights, without_heads
from mmcroc.weights.weight_layouts import detect_layout

HSG_TYPE = 'mmcroc.HSG'
#: Where the weights of HSG's pixel embedding are.
EMBEDDING = ('backbone.', 'neck.')
EMBEDDING_KEY = 'neck.projection.0.conv.weight'


class FoundBackbone(NamedTuple):
    """A backbone in a checkpoint.

    Attributes:
        config: Of the module.
        state: Its weights.
        layout: How they were named, in words.
        role: Whose they are: ``'teacher'``, ``'student'``, ``'backbone'``, ``'pixel embedding'``.
    """

    config: dict
    state: dict[str, Tensor]
    layout: str
    role: str


def backbone_of_checkpoint(path: str, part: str = '', config: dict | None = None) -> nn.Module:
    """Build the backbone of a checkpoint and load its weights, all of them.

    The architecture comes from the config in the checkpoint; without one, from the names and
    shapes of its weights (:data:`mmcroc.weights.weight_layouts.LAYOUTS`).

    Args:
        path: A local file.
        part: ``'student'`` or ``'teacher'`` of self-distillation; ``'backbone'`` leaves HSG's neck
            out: the backbone's own features. Default: the teacher; HSG's pixel embedding.
        config: Instead of the one in the checkpoint.

    Raises:
        FileNotFoundError: There is none.
        ValueError: No backbone is found in it, or the weights do not fit.
    """
    checkpoint, own_config = read_checkpoint(path)
    try:
        found = find_backbone(checkpoint, config or own_config, part)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
    backbone = MODELS.build(found.config)
    load_all(backbone, found.state, path)
    print_log(f'{path}: {found.layout}; {found.role}', logger='current')
    return backbone


def find_backbone(
    checkpoint: Mapping, config: dict, part: str = '', heads: int | None = None
) -> FoundBackbone:
    """The backbone of a checkpoint that is read already.

    Args:
        checkpoint: What :func:`read_checkpoint` gives.
        config: Of the checkpoint; ``{}`` if it has none.
        part: As :func:`backbone_of_checkpoint`.
        heads: Attention heads of a ViT without a config, where they are known.

    Raises:
        ValueError: There is none.
    """
    kind = model_kind(config)
    layout = f'checkpoint of {kind or "MMEngine"}'
    if config:  # else there need be no meta
        layout = (checkpoint.get('meta') or {}).get('layout', layout)
    if kind == HSG_TYPE and part != 'backbone':
        if part:
            raise ValueError(f'HSG has no {part}')
        state = {
            key: value
            for key, value in checkpoint.get('state_dict', {}).items()
            if key.startswith(EMBEDDING)
        }
        cfg = dict(
            type='mmcroc.PixelEmbedding',
            backbone=at_stride_8(backbone_config(config)),
            neck=config['model']['neck'],
        )
        return FoundBackbone(cfg, state, layout, 'pixel embedding')
    if not config and EMBEDDING_KEY in checkpoint.get('state_dict', checkpoint):
        raise ValueError(
            f'holds no config, but weights of {HSG_TYPE}: the strides of its ResNet are unknown'
        )
    state, role = backbone_weights(checkpoint, part)
    if config:
        cfg = backbone_config(config)
        cfg = at_stride_8(cfg) if kind == HSG_TYPE else cfg
        return FoundBackbone(cfg, state, layout, role)
    state = without_heads(state)
    found = detect_layout(state)
    return FoundBackbone(*found.build(state, heads), found.name, role)


def load_all(module: nn.Module, state: dict[str, Tensor], path: str):
    """Load weights, none left over and none missing.

    Raises:
        ValueError: They do not fit.
    """
    foreign = f'{path} holds another architecture than this {type(module).__name__}'
    # Torch overlooks what belongs to parts that a module goes without.
    absent = tuple(
        f'{name}.{part}.'.lstrip('.')
        for name, parent in module.named_modules()
        for part, child in parent._modules.items()
        if child is None
    )
    overlooked = [key for key in state if key.startswith(absent)]
    if overlooked:
        raise ValueError(f'{foreign}: unexpected {", ".join(overlooked[:5])}')
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ValueError(f'{foreign}: {error}') from error
