"""HSG on the tokens of any frozen backbone: what groups them is trained, and nothing else."""

import sys

import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.model import BaseModule, MMDistributedDataParallel
from mmengine.registry import init_default_scope
from torch import nn

from mmcroc.features.pretrained_backbone import load_model
from mmcroc.hsg.frozen_backbone import UnnamedBackboneError
from mmcroc.inference.segmentation import init_model, segment_image
from mmcroc.registry import MODELS
from mmcroc.training.launch import start
from mmcroc.training.starting_weights import start_from
from tests.support.images import smooth_image
from tests.support.paths import CONFIGS, TOOLS
from tests.support.processes import call, on_two_ranks
from tests.support.resumed_runs import Interrupt, train
from tests.support.weight_files import vit

CONFIG = CONFIGS / 'hsg_vit_frozen_folder.py'


@MODELS.register_module()
class PooledConvolution(BaseModule):
    """A backbone that gives a vector an image: nothing to group."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 8, 8)

    def forward(self, images):
        return self.layer(images).mean((2, 3))


@pytest.fixture
def backbone(tmp_path):
    """A tiny Vision Transformer of patches of 8 px in a file of timm's names."""
    path = tmp_path / 'vit.pth'
    torch.save(vit().state_dict(), path)
    return path


def small(images, backbone, work_dir, **options):
    """The config, small: 9 images in batches of 4, 4 iterations, on views of 6 x 6 tokens."""
    cfg = Config.fromfile(CONFIG)
    cfg.train_dataloader.dataset.pipeline[0].size = 48
    cfg.merge_from_dict(
        {
            'work_dir': str(work_dir),
            'randomness.seed': 3,
            'log_level': 'WARNING',
            'experiment_name': f'{work_dir.parent.name}_{work_dir.name}',
            'model.head': dict(grid=(3, 3), kmeans_iterations=3),
            'train_dataloader': dict(batch_size=4, num_workers=0, persistent_workers=False),
            'train_dataloader.dataset.data_root': str(images),
            'train_cfg.max_iters': 4,
            'default_hooks.checkpoint.interval': 1,
            'default_hooks.checkpoint.max_keep_ckpts': -1,
            'default_hooks.logger.interval': 1,
            'default_hooks.hierarchy_pictures': None,
            **options,
        }
    )
    cfg.param_scheduler[0].end = cfg.param_scheduler[1].begin = 2
    cfg.default_hooks.pop('hierarchy_pictures')
    start_from(cfg, str(backbone))
    return cfg


def test_only_what_groups_is_trained(noise_images, backbone, tmp_path):
    runner, _ = train(small(noise_images, backbone, tmp_path / 'run'))
    model, want = runner.model, load_model(backbone)
    assert not model.backbone.training and model.training
    for name, value in want.model.state_dict().items():
        assert torch.equal(model.backbone.model.state_dict()[name], value), name
    assert all(p.grad is None and not p.requires_grad for p in model.backbone.parameters())
    frozen = {id(p) for p in model.backbone.parameters()}
    groups = runner.optim_wrapper.optimizer.param_groups
    optimised = {id(p) for group in groups for p in group['params']}
    assert not frozen & optimised
    assert optimised == {id(p) for p in (*model.neck.parameters(), *model.head.parameters())}
    logged = {name.removeprefix('train/') for name in runner.message_hub.log_scalars}
    terms = {f'loss_{term}_{level}' for term in ('modularity', 'balance', 'centroid')
             for level in (1, 2)}  # fmt: skip
    assert {name for name in logged if name.startswith('loss_')} == terms
    images = torch.randn(2, 3, 48, 32)
    assert torch.equal(model.extract_feat(images)[0], want.features(images))


def test_an_embedding_is_trained_with_its_contrasts_if_wanted(noise_images, backbone, tmp_path):
    options = {'model.neck.out_channels': 16, 'model.head.transformer.channels': 16}
    cfg = small(noise_images, backbone, tmp_path / 'run', **options)
    runner, _ = train(cfg)
    logged = runner.message_hub.log_scalars
    assert {f'train/loss_{term}' for term in ('appearance', 'grouping_1', 'grouping_2')} <= set(
        logged
    )
    states = runner.optim_wrapper.optimizer.state
    assert all(states[p]['exp_avg'].any() for p in runner.model.neck.projection.parameters())
    for name, value in load_model(backbone).model.state_dict().items():
        assert torch.equal(runner.model.backbone.model.state_dict()[name], value), name


def test_leaving_the_contrasts_out_changes_no_gradient(backbone):
    """Of tokens that are not trained: what they would add is a constant."""
    model = build(backbone)
    views = torch.randn(4, 3, 48, 48)
    regions = torch.zeros(4, 48, 48, dtype=torch.long)
    (embedding,), position = model.extract_feat(views), model.neck.position(6, 6)
    gradients = []
    for contrast in (True, False):
        torch.manual_seed(0)  # dropout
        losses = model.head.loss(embedding, regions, position, contrast)
        total = sum(value for name, value in losses.items() if 'loss' in name)
        gradients.append(torch.autograd.grad(total, [*model.head.parameters()]))
    for with_contrast, without in zip(*gradients, strict=True):
        assert torch.equal(with_contrast, without)


def build(backbone):
    """The config's model on a backbone, with its weights."""
    init_default_scope('mmpretrain')
    cfg = Config.fromfile(CONFIG)
    cfg.train_dataloader.dataset.pipeline[0].size = 48
    start_from(cfg, str(backbone))
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    model.init_weights()
    return model.train()


@pytest.mark.parametrize('workers', [0, 2])
def test_resuming_is_bit_for_bit(noise_images, backbone, tmp_path, workers):
    options = {'train_dataloader.num_workers': workers}
    resumed = small(noise_images, backbone, tmp_path / 'resumed', **options)
    train(resumed.copy(), Interrupt(2))
    resumed.resume = True
    again, after = train(resumed)
    assert set(after) == {2, 3}
    straight, want = train(small(noise_images, backbone, tmp_path / 'straight'))
    assert all(value == want[i] for i, value in after.items())
    for name, value in straight.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value), name


def rank_main(rank, folder):
    model = build(folder / 'vit.pth')
    trained = MMDistributedDataParallel(model, broadcast_buffers=False)
    optimiser = torch.optim.SGD(model.head.parameters(), lr=0.1)
    for step in range(2):  # the second finds out that all parameters had a gradient
        images = torch.randn(4, 3, 48, 48, generator=torch.Generator().manual_seed(2 * step + rank))
        regions = torch.zeros(4, 48, 48, dtype=torch.long)
        losses = trained(images, mode='loss', oversegmentation=regions)
        optimiser.zero_grad()
        sum(value for name, value in losses.items() if 'loss' in name).backward()
        optimiser.step()
    return {name: p.detach() for name, p in model.named_parameters()}


def test_two_ranks_train_one_model(backbone, tmp_path):
    first, second = on_two_ranks(rank_main, tmp_path)
    start_weights = dict(build(backbone).named_parameters())
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    moved = {name for name, value in first.items() if not torch.equal(value, start_weights[name])}
    assert moved and all(name.startswith('head.') for name in moved)


def test_segment_takes_the_checkpoint_by_itself(noise_images, backbone, tmp_path):
    cfg = small(noise_images, backbone, tmp_path / 'run')
    with start(cfg) as runner:
        runner.train()
    backbone.unlink()
    checkpoint = tmp_path / 'run/iter_4.pth'
    done = call(
        sys.executable, TOOLS / 'segment.py', noise_images / '0.png', checkpoint, '--out',
        tmp_path / 'out', '--longer-side', 64, '--device', 'cpu',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for level in ('segments', 'level_1', 'level_2'):
        assert (tmp_path / 'out' / level / '0.png').exists()


@pytest.mark.parametrize('name', ['random:deit-tiny/16', 'timm:test_vit'])
def test_models_of_libraries_are_grouped_too(name, tmp_path):
    if name.startswith('timm'):
        path = tmp_path / 'weights.pth'
        torch.save(timm.create_model('test_vit').state_dict(), path)
        name = f'{name}@{path}'
    cfg = Config.fromfile(CONFIG)
    start_from(cfg, name)
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    model.init_weights()
    torch.save(
        dict(state_dict=model.state_dict(), meta=dict(cfg=cfg.pretty_text)), tmp_path / 'hsg.pth'
    )
    if '@' in name:
        path.unlink()
    restored = init_model(None, str(tmp_path / 'hsg.pth'))
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(restored.extract_feat(images)[0], model.eval().extract_feat(images)[0])
    maps = segment_image(restored, smooth_image(60, 40), longer_side=64)
    assert [*maps] == ['segments', 'level_1', 'level_2']


def test_without_a_backbone_training_is_refused_in_a_sentence(noise_images, tmp_path):
    cfg = Config.fromfile(CONFIG)
    init_default_scope('mmpretrain')
    with pytest.raises(UnnamedBackboneError, match=r'no backbone was named.*--backbone MODEL'):
        MODELS.build(cfg.model)
    done = call(
        sys.executable, TOOLS / 'train.py', CONFIG, '--data-root', noise_images, '--work-dir',
        tmp_path / 'run',
    )  # fmt: skip
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert done.stderr.splitlines()[-1].startswith('no backbone was named')


def test_what_gives_no_map_is_refused(tmp_path):
    network = PooledConvolution()
    state = {f'backbone.{name}': value for name, value in network.state_dict().items()}
    cfg = Config(dict(model=dict(type='X', backbone=dict(type='mmcroc.PooledConvolution'))))
    torch.save(dict(state_dict=state, meta=dict(cfg=cfg.pretty_text)), tmp_path / 'pooled.pth')
    with pytest.raises(ValueError, match=r'PooledConvolution gave features of \(1, 4\)'):
        start_from(Config.fromfile(CONFIG), str(tmp_path / 'pooled.pth'))


def test_views_that_are_no_whole_patches_are_refused(backbone):
    cfg = Config.fromfile(CONFIG)
    cfg.train_dataloader.dataset.pipeline[0].size = 100
    with pytest.raises(ValueError, match=r'patches of 8 px: set .*pipeline\.0\.size=96'):
        start_from(cfg, str(backbone))


@pytest.mark.parametrize('name', ['missing.pth', 'hf:/nowhere', 'no-such-model'])
def test_models_that_are_not_there_are_refused(name, tmp_path):
    with pytest.raises((ValueError, OSError)):
        start_from(Config.fromfile(CONFIG), name)
