"""Training counted in iterations: resumed it is the same run, and schedules count its steps."""

import functools

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from tests.support.images import write_noise
from tests.support.paths import CONFIGS
from tests.support.resumed_runs import Interrupt, train

EVERY = {'default_hooks.checkpoint': dict(by_epoch=False, interval=1, max_keep_ckpts=-1)}


def small_hsg(folder, work_dir, **options):
    """The folder config, small: 9 images in batches of 4, 5 iterations; dropout and all."""
    cfg = Config.fromfile(CONFIGS / 'hsg_r50_folder.py')
    views, pack = cfg.train_dataloader.dataset.pipeline[-2:]
    views.size = 48
    cfg.merge_from_dict(
        {
            'work_dir': str(work_dir),
            'randomness.seed': 3,
            'log_level': 'WARNING',
            'experiment_name': f'{work_dir.parent.name}_{work_dir.name}',
            'model.backbone': dict(depth=18, base_channels=8, multi_grid=(1, 4)),
            'model.neck': dict(in_channels=64, hidden_channels=16, out_channels=16),
            'model.head': dict(transformer=dict(channels=16), grid=(2, 2)),
            'train_dataloader': dict(batch_size=4, num_workers=0, persistent_workers=False),
            'train_cfg.max_iters': 5,
            'default_hooks.logger.interval': 1,
            'default_hooks.hierarchy_pictures.num_images': 1,
            **options,
        }
    )
    cfg.train_dataloader.dataset = dict(
        type='mmcroc.UnlabelledImages',
        data_root=str(folder),
        pipeline=[dict(type='mmcroc.WatershedOversegmentation', grid=(3, 3)), views, pack],
    )
    cfg.param_scheduler[0].end = 3
    cfg.param_scheduler[1].milestones = [4]
    return cfg


@pytest.fixture(scope='module')
def straight(tmp_path_factory):
    """Gives the run that nothing interrupts, one for all that are compared with it."""
    folder = tmp_path_factory.mktemp('straight')
    return functools.cache(lambda: train(small_hsg(write_noise(folder / 'images'), folder / 'run')))


@pytest.mark.parametrize(('interrupted_after', 'workers'), [(1, 0), (2, 0), (3, 0), (2, 2)])
def test_resuming_is_bit_for_bit(noise_images, tmp_path, straight, interrupted_after, workers):
    """Before, in and after the batch that two epochs share (the third)."""
    options = {**EVERY, 'train_dataloader.num_workers': workers}
    _, seen = train(
        small_hsg(noise_images, tmp_path / 'resumed', **options), Interrupt(interrupted_after)
    )
    assert set(seen) <= set(range(interrupted_after))
    resumed, after = train(small_hsg(noise_images, tmp_path / 'resumed', **options, resume=True))
    assert set(after) == set(range(interrupted_after, 5))
    unbroken, want = straight()
    assert all(value == want[i] for i, value in (*seen.items(), *after.items()))
    for name, value in unbroken.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


class LearningRates(Hook):
    priority = 'VERY_LOW'

    def before_train(self, runner):
        self.rates = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])


def test_accumulation_counts_optimiser_steps(noise_images, tmp_path):
    each, twice = LearningRates(), LearningRates()
    train(small_hsg(noise_images, tmp_path / 'each'), each)
    options = {'optim_wrapper.accumulative_counts': 2, 'train_cfg.max_iters': 10}
    train(small_hsg(noise_images, tmp_path / 'twice', **options), twice)
    assert len(set(each.rates)) > 2
    assert twice.rates == [rate for rate in each.rates for _ in range(2)]


def test_the_sampler_of_epochs_is_refused(noise_images, tmp_path):
    cfg = small_hsg(noise_images, tmp_path / 'run')
    cfg.train_dataloader.sampler.type = 'mmcroc.EpochSampler'
    with pytest.raises(TypeError, match=r'IterBasedTrainLoop needs .*mmcroc\.EndlessEpochSampler'):
        train(cfg)
