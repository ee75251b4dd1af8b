"""The architecture of a backbone, read off the module."""

from dataclasses import replace
from typing import Any

import torch
from mmpretrain.models import VisionTransformer
from torch import nn

from mmcroc.features.dense_tokens import dense_tokens
from mmcroc.registry import MODELS
from mmcroc.weights.architectures import Architecture, ResNetArchitecture, ViTArchitecture

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
    scope = type(backbone).__module__.partition('.')[0]
    architecture: Architecture
    if isinstance(backbone, VisionTransformer):
        height, width = backbone.img_size
        heads = backbone.arch_settings['num_heads']
        architecture = replace(
            ViTArchitecture.of_state(backbone.state_dict(), heads, (int(height), int(width))),
            norm_eps=backbone.layers[0].ln1.eps,
            interpolate_mode=backbone.interpolate_mode,
        )
    elif f'{scope}.{kind}' in RESNETS:
        own: dict[str, Any] = vars(backbone)
        multi_grid = own.get('multi_grid')
        architecture = ResNetArchitecture(
            scope=scope,
            variant=kind,
            depth=own['depth'],
            stem_channels=own['stem_channels'],
            base_channels=own['base_channels'],
            strides=tuple(own['strides']),
            dilations=tuple(own['dilations']),
            contract_dilation=bool(own.get('contract_dilation', False)),
            multi_grid=tuple(multi_grid) if multi_grid else None,
            style=own['style'],
        )
    else:
        raise ValueError(
            f'{kind} cannot be exported, only mmpretrain.VisionTransformer, what is derived from '
            f'it, and {", ".join(RESNETS)}'
        )
    _check(backbone, architecture)
    return architecture


@torch.no_grad()
def _check(backbone: nn.Module, architecture: Architecture) -> None:
    """Raise if the described architecture is not this one."""
    kind = type(backbone).__name__
    with torch.random.fork_rng(devices=[]):
        rebuilt = MODELS.build(architecture.config())
    try:
        rebuilt.load_state_dict(backbone.state_dict(), strict=True)
    except RuntimeError as error:
        raise ValueError(
            f'this {kind} has parts that an export cannot describe: {error}'
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
    if not torch.allclose(tokens[0], tokens[1], rtol=1e-4, atol=1e-5):
        raise ValueError(
            f'this {kind} computes something that an export cannot describe: {architecture.name} '
            'with its weights gives other tokens'
        )


def require_settings(architecture: Architecture, theirs: str, **usual: object) -> None:
    """Refuse an architecture with other settings than a library's model has.

    Args:
        architecture: Architecture of what is exported.
        theirs: Name of the library's model.
        **usual: Settings of that model, by the names of the architecture's attributes.

    Raises:
        ValueError: There are others; it names them.
    """
    found = {name: getattr(architecture, name) for name in usual}
    odd = [f'{name}={value!r}' for name, value in found.items() if value != usual[name]]
    if odd:
        raise ValueError(f'{theirs} has no {", ".join(odd)}')
