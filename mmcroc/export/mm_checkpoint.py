"""Checkpoints for MMPretrain and MMSegmentation, and a config around an exported backbone."""

from pathlib import Path

import torch
from mmengine.config import Config

from mmcroc.atomic_file import atomic_file
from mmcroc.export.provenance import KEY, as_comments
from mmcroc.export.source import Source
from mmcroc.weights.architectures import Architecture, ResNetArchitecture, ViTArchitecture

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
UPERNET_VIT = """For UPerHead, maps of four sizes:
#   model = dict(
#       backbone=dict(out_indices={indices}),
#       neck=dict(type='mmseg.Feature2Pyramid', embed_dim={channels}, rescales=[4, 2, 1, 0.5]),
#       decode_head=dict(_delete_=True, type='mmseg.UPerHead', in_channels=[{channels}] * 4,
#                        in_index=[0, 1, 2, 3], channels=512, num_classes=...))"""
UPERNET_RESNET = """For UPerHead, the maps of all stages:
#   model = dict(decode_head=dict(_delete_=True, type='mmseg.UPerHead', in_channels={stages},
#                                 in_index=[0, 1, 2, 3], channels=512, num_classes=...))"""


def write_mmpretrain(source: Source, path: Path) -> list[str]:
    """Write a checkpoint with ``backbone.*`` weights and a config of the backbone.

    Serves MMPretrain and MMSegmentation, :func:`mmcroc.features.load_model` and tools/evaluate.py.
    """
    _write_checkpoint(source, path)
    architecture = source.architecture
    if isinstance(architecture, ResNetArchitecture) and architecture.multi_grid:
        source.notes.append(
            "mmpretrain.ResNet has no multi_grid: the config inside names MMSegmentation's ResNet "
            f'({architecture.geometry}), which MMPretrain builds too'
        )
    return _as_backbone(architecture.config(), path)


def write_mmseg(source: Source, path: Path) -> list[str]:
    """Write the same checkpoint, and beside it a config of a segmentor to inherit (``.py``)."""
    _write_checkpoint(source, path)
    config = path.with_suffix('.py')
    architecture = source.architecture
    text = HEAD.format(
        name=path.stem,
        architecture=architecture.name,
        provenance=as_comments(source.metadata),
        upernet=_upernet(architecture),
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
    cfg = dict(
        model=dict(type='ImageClassifier', backbone=source.architecture.config()),
        data_preprocessor=dict(mean=list(source.mean), std=list(source.std), to_rgb=True),
        default_scope='mmpretrain',
    )
    meta = {'cfg': Config(cfg).pretty_text, KEY: source.described()}
    with atomic_file(path) as file:
        torch.save(dict(meta=meta, state_dict=state), file)


def _as_backbone(cfg: dict, path: Path) -> list[str]:
    """Lines of a config that make a backbone of it."""
    arguments = [f'{key}={value!r},' for key, value in cfg.items()]
    init_cfg = f"dict(type='Pretrained', checkpoint='{path}', prefix='{PREFIX}')"
    lines = [*arguments, f'init_cfg={init_cfg},']
    return ['model = dict(backbone=dict(', *(f'    {line}' for line in lines), '))']


def _segmentor(source: Source, checkpoint: Path) -> dict:
    """Config of an ``EncoderDecoder`` with one convolution as its head."""
    architecture = source.architecture
    backbone = architecture.config()
    if isinstance(architecture, ViTArchitecture):
        backbone['out_indices'] = in_index = -1
        divisor = architecture.patch_size
    else:
        backbone['out_indices'], in_index = (0, 1, 2, 3), 3
        divisor = 32
    backbone['init_cfg'] = dict(
        type='Pretrained',
        checkpoint=f'{{{{ fileDirname }}}}/{checkpoint.name}',
        prefix='backbone.',
    )
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
        backbone=backbone,
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
        layers = architecture.num_layers
        indices = tuple(layers * quarter // 4 - 1 for quarter in (1, 2, 3, 4))
        return UPERNET_VIT.format(indices=indices, channels=architecture.channels)
    return UPERNET_RESNET.format(stages=list(architecture.stage_channels))
