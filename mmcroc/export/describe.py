"""The architecture of a backbone, read off the module."""

import torch
from mmpretrain.models import VisionTransformer
from torch import nn

from mmcroc.export.architecture import Architecture, ResNetArchitecture, ViTArchitecture
from mmcroc.features.dense_tokens import dense_tokens
from mmcroc.registry import MODELS

RESNETS = tuple(
    f'{scope}.{variant}'
    for scope in ('mmseg', 'mmpretrain')
    for variant in ('ResNet', 'ResNetV1c', 'ResNetV1d')
)


def describe(backbone: nn.Module) -> Architecture:
    """The architecture of a backbone, read off the module.

    It is built again from what was read, and must give the same tokens: what these numbers do not
    say (another activation, say) is found out here and not by the users of an export.

    Raises:
        ValueError: It is none that other libraries have, or it has parts of its own.
    """
    kind = type(backbone).__name__
    if isinstance(backbone, VisionTransformer):
        architecture = _describe_vit(backbone)
    elif f'{_scope(type(backbone))}.{kind}' in RESNETS:
        architecture = _describe_resnet(backbone)
    else:
        raise ValueError(
            f'{kind} cannot be exported, only mmpretrain.VisionTransformer, what is derived from '
            f'it, and {", ".join(RESNETS)}'
        )
    _check(backbone, architecture)
    return architecture


def _scope(kind):
    return kind.__module__.partition('.')[0]


def _describe_vit(backbone):
    arch, block = backbone.arch_settings, backbone.layers[0]
    return ViTArchitecture(
        **{
            name: int(arch[name])
            for name in ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')
        },
        img_size=tuple(int(side) for side in backbone.img_size),
        patch_size=backbone.patch_embed.projection.kernel_size[0],
        norm_eps=block.ln1.eps,
        qkv_bias=block.attn.qkv.bias is not None,
        layer_scale=not isinstance(block.attn.gamma1, nn.Identity),
        with_cls_token=backbone.cls_token is not None,
        pre_norm=not isinstance(backbone.pre_norm, nn.Identity),
        final_norm=backbone.final_norm,
        interpolate_mode=backbone.interpolate_mode,
    )


def _describe_resnet(backbone):
    multi_grid = getattr(backbone, 'multi_grid', None)
    return ResNetArchitecture(
        scope=_scope(type(backbone)),
        variant=type(backbone).__name__,
        depth=backbone.depth,
        stem_channels=backbone.stem_channels,
        base_channels=backbone.base_channels,
        strides=tuple(backbone.strides),
        dilations=tuple(backbone.dilations),
        contract_dilation=bool(getattr(backbone, 'contract_dilation', False)),
        multi_grid=tuple(multi_grid) if multi_grid else None,
        style=backbone.style,
    )


@torch.no_grad()
def _check(backbone, architecture):
    """Raise if the described architecture is not this one."""
    with torch.random.fork_rng(devices=[]):
        rebuilt = MODELS.build(architecture.config())
    try:
        rebuilt.load_state_dict(backbone.state_dict(), strict=True)
    except RuntimeError as error:
        raise ValueError(
            f'this {type(backbone).__name__} has parts that an export cannot describe: {error}'
        ) from error
    # One more patch than its own size: positions are interpolated too.
    height, width = getattr(architecture, 'img_size', (64, 64))
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(1, 3, height, width + architecture.stride, generator=generator)
    tokens = []
    for module in (backbone, rebuilt):
        training = module.training
        module.eval()
        tokens.append(dense_tokens(module, images))
        module.train(training)
    if not torch.allclose(*tokens, rtol=1e-4, atol=1e-5):
        raise ValueError(
            f'this {type(backbone).__name__} computes something that an export cannot describe: '
            f'{architecture.name} with its weights gives other tokens'
        )
