"""Every pretraining config can be read, built, and does what its name says."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmcroc.config_files import read_config
from mmcroc.registry import MODELS
from tests.support.paths import CONFIGS, ROOT

EXAMPLES = ROOT / 'docs' / 'examples'
PRETRAINING = sorted(path.name for path in CONFIGS.glob('*.py'))
HSG = [name for name in PRETRAINING if name.startswith('hsg_r')]
POST = [name for name in PRETRAINING if '_post-' in name]
SELF_DISTILLING = [name for name in PRETRAINING if not name.startswith('hsg')]


@pytest.mark.parametrize('name', SELF_DISTILLING)
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
    blocks = cfg.model.get('trained_blocks', 0) + 1
    width = cfg.model.neck.in_channels
    if 'model_name' in cfg.model.backbone:
        cfg.model.backbone.settings = dict(embed_dim=width, depth=blocks, num_heads=2)
    else:
        cfg.model.backbone.arch = dict(
            embed_dims=width, num_layers=blocks, num_heads=2, feedforward_channels=64
        )
    cfg.model.backbone.init_cfg = None
    cfg.work_dir = str(tmp_path)
    cfg.default_hooks.pop('checkpoint'), cfg.default_hooks.pop('before_after')
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
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


@pytest.mark.parametrize('name', HSG)
def test_an_hsg_config_builds_and_takes_two_steps(name, tmp_path):
    """On drawn scenes with regions made in the pipeline, by a thin ResNet-18."""
    cfg = Config.fromfile(CONFIGS / name)
    views, pack = cfg.train_dataloader.dataset.pipeline[-2:]
    views.size = 64
    cfg.train_dataloader.dataset = dict(
        type='mmcroc.SyntheticScenes',
        num_images=3,
        image_size=64,
        pipeline=[dict(type='mmcroc.WatershedOversegmentation', grid=(3, 3)), views, pack],
    )
    cfg.train_dataloader.update(
        batch_size=2, num_workers=0, persistent_workers=False, pin_memory=False
    )
    cfg.model.backbone.update(depth=18, base_channels=8, multi_grid=(1, 4))
    cfg.model.neck.update(in_channels=64, hidden_channels=32)
    want_levels = [] if 'stage1' in name else [8, 4]
    assert cfg.model.head.num_groups == want_levels
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.update(load_from=None, work_dir=str(tmp_path), log_level='WARNING')
    cfg.experiment_name = f'config_{name}'
    cfg.train_cfg.max_iters = 2
    cfg.default_hooks.pop('checkpoint'), cfg.default_hooks.pop('before_after')
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 2
    logged = runner.message_hub.log_scalars
    assert logged['train/loss_appearance'].current() > 0
    assert ('train/loss_grouping_2' in logged) == bool(want_levels)


def test_hsg_step_decay_is_at_the_published_shares_of_the_run():
    for name in HSG:
        cfg = Config.fromfile(CONFIGS / name)
        warm_up, decay = cfg.param_scheduler
        assert warm_up.start_factor == 0.1
        want = [round(share * cfg.train_cfg.max_iters) for share in (0.32, 0.56, 0.75)]
        assert decay.milestones == want, name
        assert cfg.load_from == (
            'work_dirs/hsg_r50_coco_stage1/iter_350000.pth' if 'stage2' in name else None
        )


@pytest.mark.parametrize(
    ('name', 'images', 'lr', 'iterations'),
    [
        ('hsg_r50_coco_stage1.py', 128, 0.1, 350000),
        ('hsg_r50_coco_stage2.py', 48, 0.008, 20000),
        ('hsg_r50_cityscapes.py', 32, 0.1, 38000),
        ('hsg_r50_kitti-step.py', 48, 0.1, 41892),
    ],
)
def test_hsg_published_settings(name, images, lr, iterations):
    cfg = Config.fromfile(CONFIGS / name)
    assert 8 * cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == images
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=lr, momentum=0.9, weight_decay=1e-4)
    assert cfg.train_cfg.max_iters == iterations
    head = cfg.model.head
    if 'coco' not in name:
        assert (head.goodness_weight, head.centroid_weight) == (0.2, 0.2)
        assert (head.num_neighbours, head.neighbour_graph) == (4, 'image')


def test_both_strides_of_hsg_share_their_weights():
    init_default_scope('mmpretrain')
    at_16, at_8 = (
        MODELS.build(Config.fromfile(CONFIGS / '_base_' / 'models' / f'{name}.py').model).eval()
        for name in ('hsg_r50', 'hsg_r50_stride8')
    )
    at_8.load_state_dict(at_16.state_dict())
    image = torch.randn(1, 3, 64, 64)
    assert at_16.extract_feat(image)[0].shape == (1, 128, 4, 4)
    assert at_8.extract_feat(image)[0].shape == (1, 128, 8, 8)
    dilations = [[b.conv2.dilation[0] for b in m.backbone.layer4] for m in (at_16, at_8)]
    assert dilations == [[1, 4, 8], [2, 8, 16]]
    assert [b.conv2.dilation[0] for b in at_8.backbone.layer3] == [1, 2, 2, 2, 2, 2]


def test_hsg_trains_a_vision_transformer_too(tmp_path):
    init_default_scope('mmpretrain')
    model = MODELS.build(
        dict(
            type='mmcroc.HSG',
            backbone=dict(
                type='mmpretrain.VisionTransformer',
                arch=dict(embed_dims=32, num_layers=1, num_heads=2, feedforward_channels=32),
                img_size=32,
                patch_size=8,
                out_type='featmap',
            ),
            neck=dict(type='mmcroc.HSGNeck', in_channels=32, out_channels=16),
            head=dict(type='mmcroc.HSGHead', transformer=dict(channels=16), grid=(2, 2)),
        )
    )
    regions = torch.randint(0, 4, (4, 32, 32))
    losses = model.loss(torch.randn(4, 3, 32, 32), None, regions)
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    assert all(
        p.grad is not None and p.grad.isfinite().all()
        for p in model.parameters()
        if p.requires_grad
    )


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
    for name in SELF_DISTILLING:
        cfg = Config.fromfile(CONFIGS / name)
        if 'scenes' in name or name in POST:
            continue  # a demo of minutes needs a higher one, post-training a lower one
        want = 5e-4 * cfg.auto_scale_lr.base_batch_size / 256
        assert cfg.optim_wrapper.optimizer.lr == pytest.approx(want), name


@pytest.mark.parametrize('name', POST)
def test_post_training_changes_a_good_backbone_slowly(name):
    cfg = Config.fromfile(CONFIGS / name)
    model, optimizer = cfg.model, cfg.optim_wrapper.optimizer
    rate = optimizer.lr * cfg.optim_wrapper.paramwise_cfg.backbone_lr_mult
    assert (optimizer.lr, rate) == pytest.approx((1e-4, 1e-5))
    (schedule,) = cfg.param_scheduler
    assert (schedule.type, schedule.end_value) == ('mmcroc.WarmupCosineLR', 0)
    assert (model.teacher_momentum, model.freeze_backbone_share) == (0.9995, 0.1)
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == 64
    views = cfg.train_dataloader.dataset.pipeline[0].size
    assert views % model.backbone.get('patch_size', 16) == 0
    assert (model.target_generator is None) == name.startswith('dino_')


def test_the_control_of_post_training_differs_in_the_cluster_level_alone():
    croc, dino = (
        Config.fromfile(CONFIGS / f'{kind}_vit-s14_folder_post-dinov2.py').to_dict()
        for kind in ('croc', 'dino')
    )
    for cfg in (croc, dino):
        cfg['model'].pop('target_generator')
        for part in ('neck', 'head'):
            cfg['model'][part].pop('num_cluster_prototypes')
    assert croc == dino


@pytest.mark.parametrize('path', [CONFIGS / 'croc_vit-t_scenes.py', EXAMPLES / 'my_images.py'])
def test_a_stopped_demo_loses_an_epoch_at_most(path):
    """Once its checkpoints were of epochs 10 and 12: stopped before, it began anew."""
    hook = read_config(path).default_hooks.checkpoint
    assert hook.interval == 1 and hook.get('by_epoch', True)
