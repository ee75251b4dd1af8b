"""Checkpoints for MMPretrain and MMSegmentation: of exported backbones, and of released files."""

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.config import Config
from torch import Tensor

import mmcroc
from mmcroc.atomic_file import atomic_file
from mmcroc.export.provenance import KEY, as_strings
from mmcroc.export.source import Source
from mmcroc.features.checkpoint_backbone import (
    build_foreign,
    find_backbone,
    frozen_model,
    load_all,
)
from mmcroc.features.dense_model import PREPROCESSOR
from mmcroc.weights.architectures import Architecture, ResNetArchitecture, ViTArchitecture
from mmcroc.weights.checkpoint_content import model_kind
from mmcroc.weights.checkpoint_file import read_checkpoint
from mmcroc.weights.weight_layouts import model_layout

PREFIX = 'backbone.'
HEAD = """\
# A segmentor of MMSegmentation with an exported backbone, to inherit: add a data set, a schedule
# and a runtime, and set the number of classes.
#   _base_ = ['{name}.py', 'mmseg::_base_/datasets/...', ...]
#   model = dict(decode_head=dict(num_classes=...))
# The checkpoint, {name}.pth, is looked for beside this file. The backbone:
#   {architecture}
# Where it comes from:
{provenance}
# {upernet}
custom_imports = dict(imports=['mmpretrain.models'], allow_failed_imports=False)
"""
UPERNET_VIT = """For UPerHead, maps of {number} sizes:
#   model = dict(
#       backbone=dict(out_indices={indices}),
#       neck=dict({neck}),
#       decode_head=dict(_delete_=True, type='mmseg.UPerHead', in_channels=[{channels}] * {number},
#                        in_index={places}, channels=512, num_classes=...))"""
PYRAMID = "type='mmseg.Feature2Pyramid', embed_dim={channels}, rescales=[4, 2, 1, 0.5]"
#: For fewer maps than a pyramid has.
LEVELS = """type='mmseg.MultiLevelNeck', in_channels=[{channels}] * {number},
#                 out_channels={channels}, scales={scales}"""
UPERNET_RESNET = """For UPerHead, the maps of all stages:
#   model = dict(decode_head=dict(_delete_=True, type='mmseg.UPerHead', in_channels={stages},
#                                 in_index=[0, 1, 2, 3], channels=512, num_classes=...))"""


def write_mmpretrain(source: Source, path: Path) -> list[str]:
    """Write a checkpoint of ``backbone.*`` weights and a config, for both libraries and mmcroc."""
    _write_checkpoint(source, path)
    architecture = source.architecture
    if isinstance(architecture, ResNetArchitecture) and architecture.multi_grid:
        source.notes.append(
            "mmpretrain.ResNet has no multi_grid: the config inside names MMSegmentation's ResNet "
            f'({architecture.geometry}), which MMPretrain builds too'
        )
    init_cfg = dict(type='Pretrained', checkpoint=str(path), prefix=PREFIX)
    settings = dict(architecture.config(), init_cfg=init_cfg)
    lines = [f'    {key}={value!r},' for key, value in settings.items()]
    return ['model = dict(backbone=dict(', *lines, '))']


def write_mmseg(source: Source, path: Path) -> list[str]:
    """Write the same checkpoint, and beside it a config of a segmentor to inherit (``.py``)."""
    _write_checkpoint(source, path)
    config = path.with_suffix('.py')
    origin = as_strings(source.metadata)
    text = HEAD.format(
        name=path.stem,
        architecture=source.architecture.name,
        provenance='\n'.join(f'#   {key}: {value}' for key, value in origin.items()),
        upernet=_upernet(source.architecture),
    )
    with atomic_file(config) as file:
        file.write((text + Config(dict(model=_segmentor(source, path))).pretty_text).encode())
    source.notes.append(
        'the checkpoint is what --format mmpretrain writes (MMSegmentation takes it as it is); '
        f'new is the config, {config}'
    )
    return [
        # MMEngine looks relative ones up beside the config that names them.
        f"_base_ = ['{config.absolute()}',",
        "          'mmseg::_base_/datasets/...', 'mmseg::_base_/schedules/...', ...]",
        'model = dict(decode_head=dict(num_classes=...))',
    ]


def _write_checkpoint(source: Source, path: Path) -> None:
    """Write the weights under ``PREFIX`` with a config inside."""
    state = {PREFIX + key: value.cpu() for key, value in source.state.items()}
    model = dict(type='ImageClassifier', backbone=source.architecture.config())
    preprocessor = dict(mean=list(source.mean), std=list(source.std), to_rgb=True)
    save_checkpoint(path, model, preprocessor, state, **{KEY: source.described()})


def save_checkpoint(
    path: str | os.PathLike,
    model: dict,
    preprocessor: dict,
    state: Mapping[str, Tensor],
    **meta: object,
) -> None:
    """Write weights with the config of their model inside, and what else ``meta`` holds."""
    cfg = dict(model=model, data_preprocessor=preprocessor, default_scope='mmpretrain')
    meta['cfg'] = Config(cfg).pretty_text
    with atomic_file(path) as file:
        torch.save(dict(meta=meta, state_dict=dict(state)), file)


def _segmentor(source: Source, checkpoint: Path) -> dict:
    """Config of an ``EncoderDecoder`` with one convolution as its head."""
    architecture = source.architecture
    maps: int | tuple[int, ...] = (0, 1, 2, 3)
    in_index, divisor = 3, 32
    if isinstance(architecture, ViTArchitecture):
        maps, in_index, divisor = -1, -1, architecture.patch_size
    file = f'{{{{ fileDirname }}}}/{checkpoint.name}'
    init_cfg = dict(type='Pretrained', checkpoint=file, prefix=PREFIX)
    return dict(
        type='mmseg.EncoderDecoder',
        data_preprocessor=dict(
            type='mmseg.SegDataPreProcessor',
            mean=list(source.mean),
            std=list(source.std),
            bgr_to_rgb=True,
            pad_val=0,
            seg_pad_val=255,
            # Whole patches, in training and in testing.
            size_divisor=divisor,
            test_cfg=dict(size_divisor=divisor),
        ),
        backbone=dict(architecture.config(), out_indices=maps, init_cfg=init_cfg),
        decode_head=dict(
            type='mmseg.FCNHead',
            in_channels=architecture.channels,
            in_index=in_index,
            channels=256,
            num_convs=1,
            concat_input=False,
            dropout_ratio=0.1,
            num_classes=19,
            norm_cfg=dict(type='SyncBN', requires_grad=True),
            align_corners=False,
            loss_decode=dict(type='mmseg.CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
        ),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
    )


def _upernet(architecture: Architecture) -> str:
    """How to take UPerHead instead, in comments."""
    if isinstance(architecture, ViTArchitecture):
        layers, channels = architecture.num_layers, architecture.channels
        number = min(4, layers)
        neck = PYRAMID if number == 4 else LEVELS
        scales = [4, 2, 1][:number]
        return UPERNET_VIT.format(
            number=number,
            indices=tuple(layers * (i + 1) // number - 1 for i in range(number)),
            neck=neck.format(channels=channels, number=number, scales=scales),
            channels=channels,
            places=list(range(number)),
        )
    return UPERNET_RESNET.format(stages=list(architecture.stage_channels))


def convert_checkpoint(
    source: str | os.PathLike,
    out: str | os.PathLike,
    network: str = '',
    num_heads: int | None = None,
) -> str:
    """Write a checkpoint that every tool of mmcroc takes, and MMEngine's ``load_from``.

    CrOC's and HSG's full checkpoints become those of ``mmcroc.CrOC`` and ``mmcroc.HSG``, others a
    backbone under ``backbone.``, without what is beside it. Before it is written the model of its
    config is built and has taken every weight.

    Args:
        source: A local file, or a folder as Hugging Face's transformers writes it (``hf:FOLDER``
            too); a ValueError says what cannot be converted.
        out: Where to write; appears when it is whole.
        network: ``'student'`` or ``'teacher'``: of CrOC and others, this one's backbone alone.
        num_heads: Attention heads of a ViT, where they cannot be told from its width.

    Returns:
        What was found in it, in words.
    """
    source = os.fspath(source)
    checkpoint, config = read_checkpoint(source)
    try:
        released = None if config else model_layout(checkpoint)
        if released and not network:
            layout, (model, state) = released.name, released.build(checkpoint, num_heads)
        elif frozen_model(config) and not network:
            layout, model, state = model_kind(config), config['model'], checkpoint['state_dict']
        else:
            found = find_backbone(checkpoint, config, network, num_heads)
            layout = f'{found.layout}, {found.role}'
            state = {f'backbone.{key}': value for key, value in found.state.items()}
            model = dict(type='mmpretrain.ImageClassifier', backbone=found.config)
    except ValueError as error:
        raise ValueError(f'{source}: {error}') from error
    preprocessor = {name: PREPROCESSOR[name] for name in ('mean', 'std')}  # of the model's type
    module = build_foreign(dict(model, data_preprocessor=preprocessor), source)
    load_all(module, state, source)
    origin = dict(mmcroc_version=mmcroc.__version__, converted_from=os.path.basename(source))
    save_checkpoint(out, model, preprocessor, state, layout=layout, **origin)
    return layout
