"""A run that was interrupted and resumed is the run that was not."""

import functools

import pytest
import torch
from mmengine.config import Config

from tests.support.images import write_noise
from tests.support.paths import CONFIGS
from tests.support.resumed_runs import Interrupt, train


def small_config(images, work_dir, **options):
    """The COCO config, small: 2 iterations an epoch, 2 epochs, stochastic depth and all."""
    cfg = Config.fromfile(CONFIGS / 'croc_vit-s_coco.py')
    levels = dict(num_prototypes=32, num_cluster_prototypes=16)
    cfg.merge_from_dict(
        {
            'work_dir': str(work_dir),
            'randomness.seed': 3,
            'log_level': 'WARNING',
            'experiment_name': f'{work_dir.parent.name}_{work_dir.name}',
            'model.backbone.arch': dict(
                _delete_=True, embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48
            ),
            'model.backbone.img_size': 32,
            'model.backbone.patch_size': 8,
            'model.backbone.drop_path_rate': 0.5,
            'model.neck': dict(in_channels=24, hidden_channels=32, bottleneck_channels=8, **levels),
            'model.head': dict(warmup_teacher_temperature=0.07, warmup_epochs=2, **levels),
            'model.target_generator': dict(num_start_clusters=5, max_clusters=5),
            'train_dataloader': dict(batch_size=4, num_workers=0, persistent_workers=False),
            'train_dataloader.dataset': dict(data_root=str(images), folders=None),
            'train_cfg.max_epochs': 2,
            'default_hooks.logger.interval': 1,
            'default_hooks.token_pictures.num_images': 1,
            **options,
        }
    )
    # A list in the config (the pipeline) is replaced as a whole; only the size changes.
    cfg.train_dataloader.dataset.pipeline[0].size = 32
    cfg.param_scheduler[0].warmup = 1
    return cfg


#: The backbone waits for 2 of 4 iterations; then one of its two blocks learns.
POST = {
    'model.trained_blocks': 1,
    'model.freeze_backbone_share': 0.5,
    'model.freeze_last_layer_epochs': 0,
    'model.teacher_neck_momentum': 0.9,
    'optim_wrapper.paramwise_cfg.backbone_lr_mult': 0.1,
}


#: Colours are changed by the data preprocessor.
DEVICE = {'train_dataloader.dataset.pipeline.0.colour_on_device': True}


EVERY = {'default_hooks.checkpoint': dict(by_epoch=False, interval=1, max_keep_ckpts=-1)}


@pytest.fixture(scope='module')
def straight(tmp_path_factory):
    """Gives the run of a seed and a recipe that nothing interrupts, one for all its cases."""

    @functools.cache
    def run(seed, recipe):
        folder = tmp_path_factory.mktemp('straight')
        options = {**dict(recipe), **EVERY, 'randomness.seed': seed}
        return train(small_config(write_noise(folder / 'images'), folder / 'run', **options))

    return run


@pytest.mark.parametrize('interrupted_after', [2, 1, 3])
@pytest.mark.parametrize(
    ('seed', 'recipe'),
    [(3, {}), (None, {}), (3, POST), (3, DEVICE)],
    ids=['seed', 'drawn', 'post-training', 'device'],
)
def test_resuming_is_bit_for_bit(noise_images, tmp_path, straight, interrupted_after, seed, recipe):
    """At an epoch's end and in the middle of one; with a given seed and with a drawn one."""
    every = {**recipe, **EVERY, 'randomness.seed': seed}
    broken_off = small_config(noise_images, tmp_path / 'resumed', **every)
    first, seen = train(broken_off, Interrupt(interrupted_after))
    assert set(seen) <= set(range(interrupted_after))

    again = small_config(noise_images, tmp_path / 'resumed', **every, resume=True)
    resumed, seen_after = train(again)
    assert set(seen_after) == set(range(interrupted_after, 4))

    unbroken, want = straight(first.seed, tuple(recipe.items()))
    assert all(seen[i] == want[i] for i in seen)
    assert all(seen_after[i] == want[i] for i in seen_after)
    ours, theirs = resumed.model.state_dict(), unbroken.model.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name
    for mine, other in zip(
        resumed.optim_wrapper.optimizer.param_groups,
        unbroken.optim_wrapper.optimizer.param_groups,
        strict=True,
    ):
        assert mine['lr'] == other['lr'] and mine['weight_decay'] == other['weight_decay']
    for mine, other in zip(
        resumed.optim_wrapper.optimizer.state.values(),
        unbroken.optim_wrapper.optimizer.state.values(),
        strict=True,
    ):
        assert all(torch.equal(mine[key], other[key]) for key in other)


def test_workers_do_not_change_the_run(noise_images, tmp_path):
    results = []
    for workers in (0, 2):
        cfg = small_config(
            noise_images, tmp_path / str(workers), **{'train_dataloader.num_workers': workers}
        )
        results.append(train(cfg)[1])
    assert results[0] == results[1]


def test_resuming_with_another_batch_size_is_refused(noise_images, tmp_path):
    train(small_config(noise_images, tmp_path / 'run'))
    other = {'train_dataloader.batch_size': 3, 'train_cfg.max_epochs': 4}
    again = small_config(noise_images, tmp_path / 'run', **other, resume=True)
    with pytest.raises(ValueError, match=r'an epoch now has 3 iterations.*batch_size'):
        train(again)


def test_resuming_with_other_images_is_refused(noise_images, tmp_path):
    """An epoch of 8 images has as many iterations as one of 9, in another order."""
    train(small_config(noise_images, tmp_path / 'run'))
    third = (noise_images / '3.png').rename(noise_images / 'new.png')
    again = small_config(noise_images, tmp_path / 'run', **{'train_cfg.max_epochs': 4}, resume=True)
    with pytest.raises(ValueError, match='on images of other names than the 9 there are now'):
        train(again)
    third.unlink()
    with pytest.raises(ValueError, match='of a training on 9 images, but there are 8 now'):
        train(again)


def test_an_incomplete_last_batch_can_be_resumed_after(noise_images, tmp_path):
    """Nine images in batches of four, none dropped: three iterations, the last of one image."""
    every = {**EVERY, 'train_dataloader.drop_last': False}
    _, seen = train(small_config(noise_images, tmp_path / 'run', **every), Interrupt(3))
    _, after = train(small_config(noise_images, tmp_path / 'run', **every, resume=True))
    _, want = train(small_config(noise_images, tmp_path / 'straight', **every))
    assert set(after) == {3, 4, 5}
    assert all(value == want[i] for i, value in (*seen.items(), *after.items()))
