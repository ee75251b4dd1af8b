"""The backbone that a checkpoint holds, whatever wrote it."""

import argparse
import re
from pathlib import Path

import torch
from torch import Tensor, nn

from mmcroc.models.selfsup.released_croc import convert_released_network
from mmcroc.registry import MODELS

from .checkpoint_config import backbone_config, config_of_text, model_kind
from .stride_8 import at_stride_8

#: Where a backbone's weights are, the best first: a teacher is what one evaluates.
PREFIXES = ('teacher.backbone.', 'backbone.', '')
HSG_TYPE = 'mmcroc.HSG'
#: Where the weights of HSG's pixel embedding are.
EMBEDDING = ('backbone.', 'neck.')


def read_checkpoint(path: str) -> tuple[dict, dict]:
    """Read a checkpoint without running any code it may bring.

    Args:
        path: A local file.

    Returns:
        What the file holds; the config in it (:func:`config_of_text`), ``{}`` if there is none.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no checkpoint.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'no checkpoint at {path}')
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # unpickling and unzipping raise many types
        raise ValueError(f'{path} is no checkpoint that can be read safely: {error}') from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{path} is no checkpoint: it holds a {type(checkpoint).__name__}')
    text = (checkpoint.get('meta') or {}).get('cfg')
    return checkpoint, config_of_text(text) if text else {}


def backbone_of_checkpoint(path: str, bare: bool = False, config: dict | None = None) -> nn.Module:
    """Build the backbone of a checkpoint and load its weights, all of them.

    Serves checkpoints of mmcroc (CrOC's teacher; HSG's pixel embedding, at stride 8), MMPretrain
    and MMSegmentation, CrOC's released ones, and bare state dicts of
    ``mmpretrain.VisionTransformer``. The architecture comes from the config in the checkpoint, of a
    Vision Transformer without one from its weights.

    Args:
        path: A local file.
        bare: Of HSG, leave the neck out: the backbone's own features.
        config: Instead of the one in the checkpoint.

    Raises:
        FileNotFoundError: There is none.
        ValueError: No backbone is found in it, or the weights do not fit.
    """
    checkpoint, own_config = read_checkpoint(path)
    config = config or own_config
    is_hsg = model_kind(config) == HSG_TYPE
    if is_hsg and not bare:
        state = _starting_with(EMBEDDING, checkpoint.get('state_dict', {}))
        cfg = dict(
            type='mmcroc.PixelEmbedding',
            backbone=at_stride_8(backbone_config(config)),
            neck=config['model']['neck'],
        )
    else:
        state = _state_of_backbone(checkpoint, path)
        cfg = backbone_config(config) if config else vision_transformer_config(state, path)
        cfg = at_stride_8(cfg) if is_hsg else cfg
    backbone = MODELS.build(cfg)
    load_all(backbone, state, path)
    return backbone


def load_all(module: nn.Module, state: dict[str, Tensor], path: str):
    """Load weights, none left over and none missing.

    Raises:
        ValueError: They do not fit.
    """
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ValueError(
            f'{path} holds another architecture than {type(module).__name__} of its config: {error}'
        ) from error


def _starting_with(prefixes: tuple[str, ...], state: dict) -> dict[str, Tensor]:
    return {
        key: value
        for key, value in state.items()
        if key.startswith(prefixes) and torch.is_tensor(value)
    }


def _state_of_backbone(checkpoint: dict, path: str) -> dict[str, Tensor]:
    if 'teacher' in checkpoint and 'student' in checkpoint:  # as CrOC's authors released
        state = convert_released_network(checkpoint['teacher'])
    else:
        state = checkpoint.get('state_dict', checkpoint)
    for prefix in PREFIXES:
        own = _starting_with((prefix,), state)
        if own:
            return {key.removeprefix(prefix): value for key, value in own.items()}
    raise ValueError(f'{path} holds no weights')


def vision_transformer_config(state: dict[str, Tensor], path: str, head_dim: int = 64) -> dict:
    """The config of a Vision Transformer, from the shapes of its weights.

    The number of heads leaves no trace in them; ViTs have heads of 64 dimensions.

    Raises:
        ValueError: These are not its weights.
    """
    try:
        projection, pos_embed = state['patch_embed.projection.weight'], state['pos_embed']
        dims, patch_size = projection.shape[0], projection.shape[-1]
        layers = {int(found[1]) for key in state if (found := re.match(r'layers\.(\d+)\.', key))}
        hidden = len(state['layers.0.ffn.layers.0.0.weight'])
    except KeyError as error:
        raise ValueError(
            f'{path} holds no config, and its weights are not those of an '
            f'mmpretrain.VisionTransformer (no {error}); it has {list(state)[:3]}, ...'
        ) from error
    if dims % head_dim:
        raise ValueError(
            f'{path} holds no config, and {dims} channels are no multiple of {head_dim}: the '
            'number of attention heads is unknown'
        )
    return dict(
        type='mmcroc.VisionTransformer',
        arch=dict(
            embed_dims=dims,
            num_layers=len(layers),
            num_heads=dims // head_dim,
            feedforward_channels=hidden,
        ),
        img_size=patch_size * round((pos_embed.shape[1] - 1) ** 0.5),
        patch_size=patch_size,
    )
