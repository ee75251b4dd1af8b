"""MMSegmentation trains on an exported backbone, without mmcroc."""

import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmcroc.export.export import export_backbone
from tests.support.mini_data import make_voc
from tests.support.processes import call
from tests.support.random_models import IMAGES, TINY, assert_same_weights, save, vit_config

#: What a user of MMSegmentation writes: the exported model, VOC, two iterations. The backbone's
#: learning rate is 0: its weights afterwards are those that were loaded.
CONFIG = """
_base_ = ['exported/croc.py']
model = dict(decode_head=dict(num_classes=21, channels=8))
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(
        type='PascalVOCDataset',
        data_root='voc',
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
        ann_file='ImageSets/Segmentation/train.txt',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='RandomResize', scale=(80, 60), ratio_range=(0.5, 2.0), keep_ratio=True),
            dict(type='RandomCrop', crop_size=(64, 64), cat_max_ratio=0.75),
            dict(type='PackSegInputs'),
        ],
    ),
)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.0))),
)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2)
default_hooks = dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2))
default_scope = 'mmseg'
work_dir = 'work'
randomness = dict(seed=0)
"""
TRAIN = """
import sys
import mmseg
from mmengine.config import Config
from mmengine.runner import Runner
Runner.from_cfg(Config.fromfile('config.py')).train()
assert not any(name.startswith('mmcroc') for name in sys.modules), 'needs mmcroc'
"""


@pytest.fixture
def exported(croc, tmp_path):
    export = export_backbone(croc.path, 'mmseg', tmp_path / 'exported/croc.pth')
    return export, tmp_path / 'exported/croc.py'


def test_a_plain_segmentor_trains_on_exactly_these_weights(croc, exported, tmp_path):
    make_voc(tmp_path / 'voc')
    (tmp_path / 'config.py').write_text(CONFIG)
    done = call(sys.executable, '-c', TRAIN, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # Written by MMEngine itself, numpy scalars and all.
    trained = torch.load(tmp_path / 'work/iter_2.pth', weights_only=False)['state_dict']
    prefix = 'backbone.'
    backbone = {
        key.removeprefix(prefix): value for key, value in trained.items() if key.startswith(prefix)
    }
    assert_same_weights(backbone, croc.backbone.state_dict())
    assert any(key.startswith('decode_head.') for key in trained)


def build(path, **changes):
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(dict(model=changes))
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    model.init_weights()
    return model


def loss_of(model):
    labels = torch.randint(0, 5, (len(IMAGES), 1, 64, 64))
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
    data = dict(inputs=list(40 * IMAGES + 120), data_samples=samples)
    data = model.data_preprocessor(data, training=True)
    losses = model.train().loss(data['inputs'], data['data_samples'])
    return sum(value for key, value in losses.items() if 'loss' in key)


def upernet_of(path):
    """The config of UPerHead that the file tells in its comments."""
    lines = path.read_text().partition('# For UPerHead')[2].splitlines()[1:]
    comment = '\n'.join(line.removeprefix('#') for line in lines if line.startswith('#'))
    text = comment.strip().replace('num_classes=...', 'num_classes=5')
    namespace = {}
    exec(text, namespace)
    return namespace['model']


@pytest.mark.parametrize(
    'cfg',
    [
        None,
        vit_config(dict(TINY, num_layers=3)),
        dict(type='mmseg.ResNet', depth=50, base_channels=8, strides=(1, 2, 1, 1),
             dilations=(1, 1, 2, 2), contract_dilation=True, multi_grid=(2, 8, 16)),
    ],
)  # fmt: skip
def test_upernet_as_the_comment_says(croc, cfg, tmp_path):
    saved = save(tmp_path, cfg) if cfg else croc
    export_backbone(saved.path, 'mmseg', tmp_path / 'out.pth')
    upernet = upernet_of(tmp_path / 'out.py')
    upernet['decode_head']['channels'] = 16
    model = build(tmp_path / 'out.py', **upernet)
    assert_same_weights(dict(model.backbone.state_dict()), saved.backbone.state_dict())
    loss_of(model).backward()
    assert all(p.grad is not None for p in model.backbone.parameters())


def test_channels_and_normalisation_are_the_backbones(exported):
    cfg = Config.fromfile(exported[1])
    assert cfg.model.decode_head.in_channels == TINY['embed_dims']
    assert cfg.model.data_preprocessor.mean == [120, 110, 100]
    assert cfg.model.backbone.type == 'mmpretrain.VisionTransformer'
    assert cfg.model.backbone.out_type == 'featmap' and cfg.model.backbone.img_size == 64
    assert torch.isfinite(loss_of(build(exported[1])))
