"""The backbone that a checkpoint holds, whatever wrote it."""

import argparse
import ast
import re
from pathlib import Path

import torch
from torch import Tensor, nn

from mmcroc.models.selfsup.released_croc import convert_released_network
from mmcroc.registry import MODELS

#: Where a backbone's weights are, the best first: a teacher is what one evaluates.
PREFIXES = ('teacher.backbone.', 'backbone.', '')


def backbone_of_checkpoint(path: str) -> nn.Module:
    """Build the backbone of a checkpoint and load its weights, all of them.

    Serves checkpoints of mmcroc (their teacher), MMPretrain and MMSegmentation, CrOC's released
    ones, and bare state dicts of ``mmpretrain.VisionTransformer``. The architecture comes from the
    config in the checkpoint, of a Vision Transformer without one from its weights.

    Args:
        path: A local file.

    Raises:
        FileNotFoundError: There is none.
        ValueError: No backbone is found in it, or the weights do not fit.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'no checkpoint at {path}')
    with torch.serialization.safe_globals([argparse.Namespace]):
        checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    state = _state_of_backbone(checkpoint, path)
    text = checkpoint.get('meta', {}).get('cfg') if isinstance(checkpoint, dict) else None
    cfg = backbone_config(text) if text else vision_transformer_config(state, path)
    backbone = MODELS.build(cfg)
    try:
        backbone.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ValueError(
            f'{path} holds another architecture than {cfg["type"]} of its config: {error}'
        ) from error
    return backbone


def _state_of_backbone(checkpoint: dict, path: str) -> dict[str, Tensor]:
    if 'teacher' in checkpoint and 'student' in checkpoint:  # as CrOC's authors released
        state = convert_released_network(checkpoint['teacher'])
    else:
        state = checkpoint.get('state_dict', checkpoint)
    for prefix in PREFIXES:
        own = {
            key.removeprefix(prefix): value
            for key, value in state.items()
            if key.startswith(prefix) and torch.is_tensor(value)
        }
        if own:
            return own
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


def backbone_config(text: str) -> dict:
    """``model.backbone`` of a config's text, as a feature map's backbone.

    The text is read, not run: a checkpoint should not bring code.

    Raises:
        ValueError: There is none.
    """
    config = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and node.targets[0].id in ('model', 'default_scope'):
            config[node.targets[0].id] = _literal(node.value)
    cfg = (config.get('model') or {}).get('backbone')
    if cfg is None:
        raise ValueError('the config in the checkpoint has no model.backbone')
    scope = config.get('default_scope') or 'mmpretrain'
    kind = cfg['type'] if '.' in cfg['type'] else f'{scope}.{cfg["type"]}'
    cfg = {key: value for key, value in cfg.items() if key not in ('init_cfg', 'frozen_stages')}
    if kind == 'mmpretrain.VisionTransformer':
        cfg['out_type'] = 'featmap'
    return dict(cfg, type=kind)


def _literal(node):
    """The value of an expression of literals and calls of ``dict`` with keywords."""
    if isinstance(node, ast.Call) and getattr(node.func, 'id', None) == 'dict' and not node.args:
        return {keyword.arg: _literal(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(element) for element in node.elts]
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {_literal(key): _literal(value) for key, value in pairs}
    return ast.literal_eval(node)
