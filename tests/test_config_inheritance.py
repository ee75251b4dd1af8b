"""Configs inherit from MMSegmentation's, ours from theirs and theirs from ours."""

import json
import os
import subprocess
import sys

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmcroc.registry import DATASETS, MODELS
from tests.evaluation.mini_data import make_voc
from tests.paths import CONFIGS, ROOT

USERS_OWN = """
_base_ = ['mmseg::_base_/models/fcn_r50-d8.py', {voc!r}]
model = dict(
    pretrained=None,
    backbone=dict(_delete_=True, type='mmcroc.PretrainedBackbone', model='rgb'),
    decode_head=dict(in_channels=5, in_index=0, num_classes=21, norm_cfg=dict(type='BN')),
    auxiliary_head=None,
)
train_dataloader = dict(dataset=dict(data_root={root!r}, pipeline=[]))
"""

INHERITS_OURS = """
_base_ = 'mmcroc::eval/clustering-leopart_vit-s_voc.py'
model = dict(backbone=dict(model='rgb'))
test_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(data_root='voc')
)
test_evaluator = dict(
    protocol='mine', num_clusters=40, matching='precision', num_restarts=1, seeds=[0, 1]
)
work_dir = 'work'
"""
RUN_IT = """
import json, mmcroc
from mmengine.config import Config
from mmengine.runner import Runner
cfg = Config.fromfile('own.py')
cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
metrics = Runner.from_cfg(cfg).test()
print(json.dumps([metrics, [cfg.test_evaluator.num_clusters, cfg.test_evaluator.num_restarts]]))
"""


def test_a_config_may_mix_a_piece_of_mmsegmentation_and_one_of_ours(tmp_path):
    make_voc(tmp_path / 'voc')
    path = tmp_path / 'own.py'
    voc = str(CONFIGS / '_base_' / 'datasets' / 'voc.py')
    path.write_text(USERS_OWN.format(voc=voc, root=str(tmp_path / 'voc')))
    cfg = Config.fromfile(path)
    init_default_scope('mmseg')
    model = MODELS.build(cfg.model).eval()
    with torch.no_grad():
        assert model(torch.rand(1, 3, 32, 48)).shape == (1, 21, 2, 3)
    assert len(DATASETS.build(cfg.train_dataloader.dataset)) == 3


def test_the_linear_mmseg_protocol_has_mmsegmentations_own_schedule(tmp_path):
    (tmp_path / 'theirs.py').write_text("_base_ = 'mmseg::_base_/schedules/schedule_20k.py'\n")
    theirs = Config.fromfile(tmp_path / 'theirs.py')
    ours = Config.fromfile(CONFIGS / 'eval' / 'linear-mmseg_vit-s_voc.py')
    assert ours.optim_wrapper == theirs.optim_wrapper
    assert ours.param_scheduler == theirs.param_scheduler
    assert ours.train_cfg.max_iters == theirs.train_cfg.max_iters == 20000
    assert ours.optim_wrapper.optimizer.lr == 0.01
    assert ours.default_hooks.checkpoint.type == 'mmcroc.AtomicCheckpointHook'


def test_a_config_elsewhere_inherits_one_of_ours_by_name(tmp_path):
    """From the package as it is installed, with its configs inside."""
    package = tmp_path / 'site' / 'mmcroc'
    (package / '.mim').mkdir(parents=True)
    for part in (ROOT / 'mmcroc').iterdir():
        if part.name != '.mim':
            (package / part.name).symlink_to(part)
    for name in ('configs', 'model-index.yml'):
        (package / '.mim' / name).symlink_to(ROOT / name)
    make_voc(tmp_path / 'voc')
    (tmp_path / 'own.py').write_text(INHERITS_OURS)
    done = subprocess.run(
        [sys.executable, '-c', RUN_IT], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, 'PYTHONPATH': str(tmp_path / 'site')},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    metrics, settings = json.loads(done.stdout.splitlines()[-1])
    assert set(metrics) == {'mine/mIoU', 'mine/mIoU_std', 'mine/aAcc'}
    assert settings == [40, 1]
