"""Configs inherit from MMSegmentation's, ours from theirs and theirs from ours."""

import json

import pytest
import torch
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.registry import init_default_scope

from mmcroc.config_files import read_config
from mmcroc.registry import DATASETS, MODELS
from tests.support.mini_data import make_voc
from tests.support.outside import installed_package, run_python
from tests.support.paths import CONFIGS

USERS_OWN = """
_base_ = ['mmseg::_base_/models/fcn_r50-d8.py', {voc!r}]
model = dict(
    pretrained=None,
    backbone=dict(_delete_=True, type='mmcroc.PretrainedBackbone', model='rgb'),
    decode_head=dict(in_channels=5, in_index=0, num_classes=21, norm_cfg=dict(type='BN')),
    auxiliary_head=None,
)
train_set = dict(data_root={root!r}, pipeline=[])
"""

INHERITS_OURS = """
_base_ = 'mmcroc::eval/clustering-leopart_voc.py'
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
from mmcroc.training import start
cfg = mmcroc.read_config('own.py')
cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
with start(cfg) as runner:
    metrics = runner.test()
print(json.dumps([metrics, [cfg.test_evaluator.num_clusters, cfg.test_evaluator.num_restarts]]))
"""


def test_a_config_may_mix_a_piece_of_mmsegmentation_and_one_of_ours(tmp_path):
    make_voc(tmp_path / 'voc')
    path = tmp_path / 'own.py'
    voc = str(CONFIGS / '_base_' / 'datasets' / 'voc.py')
    path.write_text(USERS_OWN.format(voc=voc, root=str(tmp_path / 'voc')))
    cfg = read_config(path)
    init_default_scope('mmseg')
    model = MODELS.build(cfg.model).eval()
    with torch.no_grad():
        assert model(torch.rand(1, 3, 32, 48)).shape == (1, 21, 2, 3)
    assert len(DATASETS.build(cfg.train_set)) == 3


def test_the_linear_mmseg_protocol_has_mmsegmentations_own_schedule(tmp_path):
    (tmp_path / 'theirs.py').write_text("_base_ = 'mmseg::_base_/schedules/schedule_20k.py'\n")
    theirs = read_config(tmp_path / 'theirs.py')
    ours = read_config(CONFIGS / 'eval' / 'linear-mmseg_voc.py')
    assert ours.optim_wrapper == theirs.optim_wrapper
    assert ours.param_scheduler == theirs.param_scheduler
    assert ours.train_cfg.max_iters == theirs.train_cfg.max_iters == 20000
    assert ours.optim_wrapper.optimizer.lr == 0.01
    assert ours.default_hooks.checkpoint.type == 'mmcroc.AtomicCheckpointHook'


def run_outside(tmp_path, layout, *command):
    """Run Python in a folder outside of the repository."""
    site = installed_package(tmp_path, layout)
    mim = site / 'mmcroc' / '.mim'
    return run_python([part.format(mim=mim) for part in command], tmp_path, site)


@pytest.mark.parametrize('layout', ['linked', 'unpacked'])
def test_a_config_elsewhere_inherits_one_of_ours_by_name(tmp_path, layout):
    """From the package as it is installed, with its configs inside."""
    make_voc(tmp_path / 'voc')
    (tmp_path / 'own.py').write_text(INHERITS_OURS)
    out = run_outside(tmp_path, layout, '-c', RUN_IT)
    metrics, settings = json.loads(out.splitlines()[-1])
    assert set(metrics) == {'mine/mIoU', 'mine/mIoU_std', 'mine/aAcc'}
    assert settings == [40, 1]


@pytest.mark.parametrize(
    ('layout', 'name'),
    [('unpacked', 'croc_vit-t_scenes'), ('linked', 'hsg_r18_scenes')],
)
def test_a_pretraining_elsewhere_inherits_one_of_ours_by_name(tmp_path, layout, name):
    """A config without a folder; trained two steps, since scopes come with the inheritance."""
    croc = name.startswith('croc')
    length, shown = ('max_epochs', 'token') if croc else ('max_iters', 'hierarchy')
    (tmp_path / 'own.py').write_text(
        f"_base_ = 'mmcroc::{name}.py'\n"
        f'train_cfg = dict({length}=2)\n'
        f'default_hooks = dict({shown}_pictures=dict(num_images=1))\n'
        'train_dataloader = dict(\n'
        '    batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(num_images=4)\n'
        ')\n'
    )
    train = ('{mim}/tools/train.py', 'own.py', '--work-dir', 'work', '--no-validate')
    out = run_outside(tmp_path, layout, *train)
    assert 'Last checkpoint' in out
    assert list((tmp_path / 'work').glob('*.pth'))


def test_a_program_that_knows_nothing_of_mmcroc_inherits_by_an_expression(tmp_path):
    """MMEngine evaluates ``_base_``; nothing of its own is changed for that."""
    (tmp_path / 'own.py').write_text(
        "_base_ = __import__('mmcroc').config_path('croc_vit-s_coco.py')\n"
    )
    read = "from mmengine.config import Config; print(Config.fromfile('own.py').model.type)"
    assert run_outside(tmp_path, 'unpacked', '-c', read).splitlines()[-1] == 'mmcroc.CrOC'


def test_one_of_ours_is_read_by_its_name():
    by_path = read_config(CONFIGS / 'croc_vit-t_scenes.py', {'model.sync_statistics': True})
    assert by_path.model.sync_statistics
    by_name = read_config('mmcroc::croc_vit-t_scenes.py')
    assert by_name.to_dict() == read_config(CONFIGS / 'croc_vit-t_scenes.py').to_dict()


def test_names_are_understood_inside_the_block_alone(tmp_path):
    """Whatever becomes of the reading."""
    before = Config._get_cfg_path, dict(MODULE2PACKAGE)
    (tmp_path / 'own.py').write_text("_base_ = 'mmcroc::nothing.py'\n")
    with pytest.raises(FileNotFoundError):
        read_config(tmp_path / 'own.py')
    assert (Config._get_cfg_path, MODULE2PACKAGE) == before


@pytest.mark.parametrize('name', ['mmseg::fcn.py', 'nobody::a/b.py'])
def test_other_names_are_still_mmengines_business(tmp_path, name):
    (tmp_path / 'own.py').write_text(f'_base_ = {name!r}\n')
    with pytest.raises((ValueError, AssertionError)):
        read_config(tmp_path / 'own.py')


@pytest.mark.parametrize('name', ['', 'croc.py', 'eval', 'a::b.py'])
def test_a_config_that_is_not_there_is_named_with_where_it_was_looked_for(tmp_path, name):
    (tmp_path / 'own.py').write_text(f"_base_ = 'mmcroc::{name}'\n")
    with pytest.raises(FileNotFoundError, match=rf"'mmcroc::{name}': there is no .*configs"):
        read_config(tmp_path / 'own.py')


def test_inheriting_by_name_is_inheriting_by_path(tmp_path):
    read = []
    for base in ('mmcroc::croc_vit-t_scenes.py', str(CONFIGS / 'croc_vit-t_scenes.py')):
        (tmp_path / 'own.py').write_text(f'_base_ = {base!r}\nmodel = dict(sync_statistics=True)')
        read.append(read_config(tmp_path / 'own.py').to_dict())
    assert read[0] == read[1]
