"""What is exported: a backbone with everything that is known of it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from mmpretrain.models import VisionTransformer
from torch import Tensor, nn

from mmcroc.export.provenance import MEAN, STD, normalisation_of, protocol_results, provenance
from mmcroc.features.checkpoint_backbone import find_backbone, frozen_model
from mmcroc.features.dense_tokens import dense_tokens
from mmcroc.features.pretrained_backbone import load_backbone
from mmcroc.registry import MODELS
from mmcroc.weights.architectures import Architecture, ResNetArchitecture, ViTArchitecture
from mmcroc.weights.checkpoint_file import read_checkpoint, split_checkpoint

NECK_LEFT_OUT = (
    "HSG's neck (its pixel embedding) is left out: it is no part of these libraries' "
    'architectures; --format onnx --with-neck takes it along'
)
#: What may follow a checkpoint's name for one and the same network.
SAME_NETWORK = dict(
    teacher=('', 'teacher', 'backbone'), student=('student',), backbone=('', 'backbone')
)
RESNETS = tuple(
    f'{scope}.{variant}'
    for scope in ('mmseg', 'mmpretrain')
    for variant in ('ResNet', 'ResNetV1c', 'ResNetV1d')
)


@dataclass
class Source:
    """A backbone to be exported.

    Attributes:
        backbone: Evaluating, on the CPU.
        metadata: Origin of the weights (:func:`provenance`), and ``layout``, ``network``,
            ``protocol_results``.
        mean, std: Normalisation of images, RGB in [0, 255].
        has_neck: Whether it is a whole HSG and not a backbone alone.
        notes: Sentences that the user of an export has to know.
    """

    backbone: nn.Module
    metadata: dict
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    has_neck: bool = False
    notes: list[str] = field(default_factory=list)

    @cached_property
    def architecture(self) -> Architecture:
        """The backbone's architecture; errors as :func:`describe`."""
        return describe(self.backbone.get_submodule('backbone' if self.has_neck else ''))

    @property
    def state(self) -> dict[str, Tensor]:
        """Weights under MMPretrain's names."""
        return dict(self.backbone.state_dict())

    @property
    def name(self) -> str:
        """The architecture in words."""
        neck = "; on top HSG's neck" if self.has_neck else ''
        return f'{self.architecture.name}{neck}'

    def described(self) -> dict:
        """Metadata with the architecture in words."""
        words = dict(architecture=self.name, mean=list(self.mean), std=list(self.std))
        return {**self.metadata, **words}

    def note_geometry(self, library: str) -> None:
        """Say it if a library's ResNets have other strides or dilations than this one."""
        architecture = self.architecture
        if isinstance(architecture, ResNetArchitecture) and not architecture.is_plain:
            self.notes.append(
                f'{library} cannot say {architecture.geometry}: it gets the same weights in a '
                'ResNet of stride 32 without dilation, whose features are other ones'
            )


def read_source(
    model: str, with_neck: bool = False, results: Sequence[str | os.PathLike] = ()
) -> Source:
    """Load a backbone and gather what is known of it.

    Args:
        model: Name as :func:`mmcroc.features.load_model` takes it, except that HSG's backbone comes
            without its neck.
        with_neck: Whether HSG comes whole, for its pixel embedding.
        results: ``results.json`` files of tools/evaluate.py with numbers of this model.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: No such model, no neck in it, or results of other models.
    """
    is_folder = model.startswith('hf:') and os.path.isdir(model.removeprefix('hf:'))
    checkpoint = (model, '') if is_folder else split_checkpoint(model)
    if checkpoint:
        source, same = _of_checkpoint(*checkpoint, with_neck)
        path = checkpoint[0]
    elif with_neck:
        raise ValueError(f'{model!r} is no checkpoint of HSG: it has no neck')
    else:
        source, same, path = Source(load_backbone(model), dict(source=model)), ('',), model
    source.backbone.eval()
    source.backbone.requires_grad_(False)
    if results:
        known = source.metadata.get('protocol_results', [])
        found = protocol_results(results, path, same)
        source.metadata['protocol_results'] = known + [one for one in found if one not in known]
    return source


def _of_checkpoint(path: str, part: str, with_neck: bool) -> tuple[Source, tuple[str, ...]]:
    """The source, and what may follow the path in names of the same network."""
    checkpoint, config = read_checkpoint(path)
    try:
        found = find_backbone(checkpoint, config, part)
        is_hsg = frozen_model(found.origin) is not None
        if with_neck and (part or not is_hsg):
            raise ValueError('no checkpoint of HSG, or a part of one: it has no neck')
        if is_hsg and not with_neck:
            found = find_backbone(checkpoint, config, 'backbone')
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
    metadata = dict(layout=found.layout, network=found.role)
    metadata.update(provenance(path, checkpoint, found.origin))
    mean, std = normalisation_of(found.origin)
    source = Source(found.build(path), metadata, mean, std, with_neck)
    if not is_hsg:
        return source, SAME_NETWORK[found.role]
    if not with_neck:
        source.notes.append(NECK_LEFT_OUT)
    return source, ('' if with_neck else 'backbone',)


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
            strides=tuple(own['strides']),
            dilations=tuple(own['dilations']),
            contract_dilation=bool(own.get('contract_dilation', False)),
            multi_grid=tuple(multi_grid) if multi_grid else None,
            **{name: own[name] for name in ('depth', 'stem_channels', 'base_channels', 'style')},
        )
    else:
        raise ValueError(
            f'{kind} cannot be exported, only mmpretrain.VisionTransformer, what is derived from '
            f'it, and {", ".join(RESNETS)}'
        )
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
    if not torch.allclose(_tokens(backbone, images), _tokens(rebuilt, images), 1e-4, 1e-5):
        raise ValueError(
            f'this {kind} computes something that an export cannot describe: {architecture.name} '
            'with its weights gives other tokens'
        )
    return architecture


@torch.no_grad()
def _tokens(module: nn.Module, images: Tensor) -> Tensor:
    """Tokens of a module that evaluates, and goes on as it was."""
    training = module.training
    module.eval()
    tokens = dense_tokens(module, images)
    module.train(training)
    return tokens


def require_settings(architecture: Architecture, theirs: str, **usual: object) -> None:
    """Refuse an architecture with other settings than a library's model has.

    A ValueError names the model, ``theirs``, and the settings other than its ``usual`` ones.
    """
    found = {name: getattr(architecture, name) for name in usual}
    odd = [f'{name}={value!r}' for name, value in found.items() if value != usual[name]]
    if odd:
        raise ValueError(f'{theirs} has no {", ".join(odd)}')
