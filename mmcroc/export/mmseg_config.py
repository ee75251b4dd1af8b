"""A config of MMSegmentation around an exported backbone."""

from pathlib import Path

from mmengine.config import Config

from mmcroc.atomic_file import atomic_file
from mmcroc.export.architecture import ViTArchitecture
from mmcroc.export.provenance import as_comments
from mmcroc.export.source import Source

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


def write_mmseg_config(source: Source, checkpoint: Path, path: Path):
    """Write a config whose ``model`` is an ``EncoderDecoder`` with one convolution as its head.

    Args:
        source: What is exported.
        checkpoint: The exported checkpoint, in the same folder.
        path: The config's file.
    """
    architecture = source.architecture
    head = HEAD.format(
        name=path.stem,
        architecture=architecture.name,
        provenance=as_comments(source.metadata),
        upernet=_upernet(architecture),
    )
    text = head + Config(dict(model=_segmentor(source, checkpoint))).pretty_text
    with atomic_file(path) as file:
        file.write(text.encode())


def _segmentor(source, checkpoint):
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


def _upernet(architecture):
    if isinstance(architecture, ViTArchitecture):
        layers = architecture.num_layers
        indices = tuple(layers * quarter // 4 - 1 for quarter in (1, 2, 3, 4))
        return UPERNET_VIT.format(indices=indices, channels=architecture.channels)
    return UPERNET_RESNET.format(stages=list(architecture.stage_channels))
