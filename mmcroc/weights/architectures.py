"""Configs of backbones, from the shapes of their weights."""

import re
from collections.abc import Mapping
from math import isqrt

from torch import Tensor

#: The number of attention heads leaves no trace in the weights; of nearly all ViTs they have 64
#: dimensions.
HEAD_DIM = 64
#: Widths of public models whose heads have others (SO400M, ViT-H, ViT-g, ViT-G).
OTHER_HEAD_DIMS = (1152, 1280, 1408, 1664)
#: (blocks of the stages, whether they are bottlenecks) -> depth
RESNET_DEPTHS = {
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50,
    ((3, 4, 23, 3), True): 101,
    ((3, 8, 36, 3), True): 152,
}


def count_layers(state: Mapping[str, Tensor], pattern: str) -> int:
    """Layers of a network: how many indices a regular expression captures in its weights' names."""
    return len({found[1] for key in state if (found := re.match(pattern, key))})


def num_heads(dims: int, known: tuple[int, ...] = ()) -> int:
    """Attention heads of a ViT of so many channels.

    Args:
        dims: Channels.
        known: Widths besides the common ones at which heads of 64 dimensions are certain.

    Raises:
        ValueError: It cannot be known.
    """
    if dims % HEAD_DIM or (dims in OTHER_HEAD_DIMS and dims not in known):
        raise ValueError(
            f'of a ViT of {dims} channels the number of attention heads is unknown: load it as '
            'timm:NAME@FILE, or tools/model_converters/to_mmpretrain.py FILE OUT --num-heads N'
        )
    return dims // HEAD_DIM


def vision_transformer_config(state: Mapping[str, Tensor], heads: int | None = None) -> dict:
    """The config of an ``mmpretrain.VisionTransformer``.

    Args:
        state: Its state dict.
        heads: Attention heads; None: :func:`num_heads`.

    Raises:
        ValueError: It has positions of no square, or an unknown number of heads.
    """
    dims, patch_size, side = _patches(state['patch_embed.projection.weight'], state['pos_embed'])
    packed = state.get('layers.0.ffn.w12.weight')
    arch = dict(
        embed_dims=dims,
        num_layers=count_layers(state, r'layers\.(\d+)\.'),
        num_heads=heads or num_heads(dims),
        # Of SwiGLU MMPretrain takes two thirds of what it is told.
        feedforward_channels=len(state['layers.0.ffn.layers.0.0.weight'])
        if packed is None
        else len(packed) // 2 * 3 // 2,
    )
    cfg = dict(type='mmcroc.VisionTransformer', arch=arch, img_size=side, patch_size=patch_size)
    if packed is not None:
        cfg['layer_cfgs'] = dict(ffn_type='swiglu_fused')
    if 'layers.0.attn.gamma1.weight' in state:
        cfg['layer_scale_init_value'] = 1e-5
    if 'pre_norm.weight' in state:
        cfg['pre_norm'] = True
    if 'layers.0.attn.qkv.bias' not in state:
        cfg['qkv_bias'] = False
    return cfg


def resnet_config(state: Mapping[str, Tensor]) -> dict:
    """The config of an ``mmpretrain.ResNet``, ``ResNetV1c`` or ``ResNetV1d``.

    Args:
        state: Its state dict.

    Raises:
        ValueError: Its blocks are those of no such ResNet.
    """
    blocks = tuple(count_layers(state, rf'layer{stage}\.(\d+)\.') for stage in range(1, 5))
    is_bottleneck = 'layer1.0.conv3.weight' in state
    if (blocks, is_bottleneck) not in RESNET_DEPTHS:
        raise ValueError(
            f'a ResNet with stages of {blocks} {"bottlenecks" if is_bottleneck else "blocks"} is '
            f'none of depth {", ".join(map(str, RESNET_DEPTHS.values()))}'
        )
    kind, stem = 'ResNet', 'conv1.weight'
    if 'stem.0.conv.weight' in state:
        kind = 'ResNetV1d' if 'layer2.0.downsample.2.weight' in state else 'ResNetV1c'
        stem = 'stem.2.conv.weight'
    return dict(
        type=f'mmpretrain.{kind}',
        depth=RESNET_DEPTHS[blocks, is_bottleneck],
        stem_channels=len(state[stem]),
        base_channels=len(state['layer1.0.conv1.weight']),
        out_indices=(3,),
    )


def timm_registers_config(state: Mapping[str, Tensor], heads: int | None = None) -> dict:
    """The config of a ViT with register tokens (DINOv2's) in timm.

    Args:
        state: Its state dict under timm's names.
        heads: As of :func:`vision_transformer_config`.

    Raises:
        ValueError: As of it.
    """
    dims, patch_size, side = _patches(
        state['patch_embed.proj.weight'], state['pos_embed'], extra_tokens=0
    )
    hidden = len(state['blocks.0.mlp.fc1.weight'])
    is_swiglu = hidden == 2 * state['blocks.0.mlp.fc2.weight'].shape[1]
    return dict(
        type='mmcroc.TimmBackbone',
        model_name=f'vit_{"giant" if is_swiglu else "small"}_patch14_reg4_dinov2',
        pretrained=False,
        settings=dict(
            img_size=side,
            patch_size=patch_size,
            embed_dim=dims,
            depth=count_layers(state, r'blocks\.(\d+)\.'),
            num_heads=heads or num_heads(dims),
            mlp_ratio=_ratio(hidden, dims),
            reg_tokens=state['reg_token'].shape[1],
            init_values=1e-5 if 'blocks.0.ls1.gamma' in state else 0.0,  # timm drops None
        ),
    )


def timm_dinov3_config(state: Mapping[str, Tensor], heads: int | None = None) -> dict:
    """The config of a DINOv3 ViT in timm.

    Args:
        state: Its state dict under timm's names.
        heads: Attention heads; None: of 64 dimensions, of the 7B model 128.

    Raises:
        ValueError: An unknown number of heads.
    """
    projection = state['patch_embed.proj.weight']
    dims = len(projection)
    is_swiglu = 'blocks.0.mlp.fc1_g.weight' in state
    if heads is None:
        heads = 32 if dims == 4096 else num_heads(dims, known=(1152, 1280))
    return dict(
        type='mmcroc.TimmBackbone',
        model_name=f'vit_small_{"plus_" if is_swiglu else ""}patch16_dinov3_qkvb',
        pretrained=False,
        settings=dict(
            patch_size=projection.shape[-1],
            embed_dim=dims,
            depth=count_layers(state, r'blocks\.(\d+)\.'),
            num_heads=heads,
            mlp_ratio=_ratio(state['blocks.0.mlp.fc2.weight'].shape[1], dims),
            num_reg_tokens=state['reg_token'].shape[1],
            qkv_bias='blocks.0.attn.q_bias' in state,
        ),
    )


def _patches(projection, pos_embed, extra_tokens=1):
    """Channels, patch size, image side in pixels."""
    patches = pos_embed.shape[1] - extra_tokens
    side = isqrt(patches)
    if side**2 != patches or projection.shape[-1] != projection.shape[-2]:
        raise ValueError(f'positions of {patches} patches are of no square image')
    return len(projection), projection.shape[-1], projection.shape[-1] * side


def _ratio(hidden, dims):
    """A ratio from which ``int(dims * ratio)`` is surely ``hidden``."""
    return (hidden + 0.25) / dims
