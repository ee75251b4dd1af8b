"""Every pretraining config can be read, built, and does what its name says."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmcroc.registry import MODELS
from tests.paths import CONFIGS

PRETRAINING = sorted(path.name for path in CONFIGS.glob('*.py'))


@pytest.mark.parametrize('name', PRETRAINING)
def test_it_builds_and_takes_a_step(name, tmp_path):
    """On one drawn scene instead of its data; its own model, pipeline and optimiser."""
    cfg = Config.fromfile(CONFIGS / name)
    pipeline = cfg.train_dataloader.dataset.pipeline
    cfg.train_dataloader.dataset = dict(
        type='mmcroc.SyntheticScenes', num_images=1, image_size=64, pipeline=pipeline
    )
    cfg.train_dataloader.update(
        batch_size=1, num_workers=0, persistent_workers=False, pin_memory=False
    )
    for part in (cfg.model.neck, cfg.model.head):  # 65,536 prototypes take long on a CPU
        part.num_prototypes = 64
        part.num_cluster_prototypes = min(32, part.num_cluster_prototypes)
    cfg.model.backbone.arch = dict(
        embed_dims=cfg.model.neck.in_channels,
        num_layers=1,
        num_heads=2,
        feedforward_channels=64,
    )
    cfg.work_dir = str(tmp_path)
    cfg.default_hooks.pop('checkpoint')
    cfg.train_cfg.max_epochs = 11
    cfg.log_level = 'WARNING'
    cfg.experiment_name = f'config_{name}'
    runner = Runner.from_cfg(cfg)

    class Stop(Exception):
        pass

    def after_one(*args, **kwargs):
        raise Stop

    runner.train_loop.run_epoch, run_epoch = after_one, runner.train_loop.run_epoch
    with pytest.raises(Stop):
        runner.train()
    run_epoch()
    assert runner.iter == 1
    assert runner.message_hub.get_scalar('train/loss').current() > 0


@pytest.mark.parametrize('name', PRETRAINING)
def test_its_head_says_what_to_expect(name):
    """The opening comment names images and, for published settings, the figures' source."""
    head = (CONFIGS / name).read_text().split('_base_')[0]
    assert head.startswith('#') and 'images' in head
    assert 'Expect' in head or 'No figure' in head or 'What to expect' in head or 'demo' in head


def test_the_paper_sized_model_is_vit_small():
    cfg = Config.fromfile(CONFIGS / 'croc_vit-s_coco.py')
    init_default_scope('mmpretrain')
    backbone = MODELS.build(cfg.model.backbone)
    assert sum(p.numel() for p in backbone.parameters()) == 21_665_664
    assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size == 256
    assert torch.linspace(0, cfg.model.backbone.drop_path_rate, 12)[-1] == pytest.approx(0.1)


def test_learning_rates_follow_the_batch():
    for name in PRETRAINING:
        cfg = Config.fromfile(CONFIGS / name)
        if 'scenes' in name:
            continue  # a demo of minutes needs a higher one
        want = 5e-4 * cfg.auto_scale_lr.base_batch_size / 256
        assert cfg.optim_wrapper.optimizer.lr == pytest.approx(want), name
