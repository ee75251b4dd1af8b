"""A resumed run is the same run."""

import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import IterBasedTrainLoop, Runner

from mmcroc.data.sample_seed import EndlessEpochSampler, EpochSampler
from mmcroc.registry import HOOKS

#: Where the message hub, and with it each checkpoint, keeps the number of images, and their names'
#: digest.
IMAGES, NAMES = 'num_train_images', 'train_names_digest'


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Make training depend on the seed and the iteration alone, not on where it was interrupted.

    MMEngine restores weights, optimiser and schedules. This adds the rest: the random generators
    are seeded before each iteration from (seed, rank, iteration), so there is no state to lose;
    the sampler takes over the seed of a resumed checkpoint; and a checkpoint from the middle of
    an epoch goes on with the images that are left of it. The images' own randomness follows from
    (seed, epoch, image) through :class:`EpochSampler`. An ``IterBasedTrainLoop`` needs an
    :class:`EndlessEpochSampler`, which the loop itself sends to where training stopped.
    """

    def before_train(self, runner: Runner) -> None:
        """Check the sampler and the images, and give the sampler the seed of the run.

        Raises:
            TypeError: The sampler is none that the loop can resume with.
            ValueError: The checkpoint was written with other images.
        """
        sampler = runner.train_dataloader.sampler
        if not isinstance(sampler, EpochSampler):
            raise TypeError(
                f'ExactResumeHook needs train_dataloader.sampler=dict(type="mmcroc.EpochSampler"), '
                f'got {type(sampler).__name__}'
            )
        by_iter = isinstance(runner.train_loop, IterBasedTrainLoop)
        if by_iter != isinstance(sampler, EndlessEpochSampler):
            raise TypeError(
                f'a {type(runner.train_loop).__name__} needs train_dataloader.sampler.type='
                f'"mmcroc.{"EndlessEpochSampler" if by_iter else "EpochSampler"}", got '
                f'{type(sampler).__name__}'
            )
        sampler.seed = runner.seed
        dataset = runner.train_dataloader.dataset
        now = {IMAGES: len(dataset), NAMES: getattr(dataset, 'names_digest', None)}
        told = runner.message_hub.runtime_info if runner.iter else {}
        before = {**now, **{name: told[name] for name in now if name in told}}
        cure = 'resume with those it was written with, or start anew from its weights (load_from)'
        if before[IMAGES] != now[IMAGES]:
            raise ValueError(
                f'the checkpoint is of a training on {before[IMAGES]} images, but there are '
                f'{now[IMAGES]} now: {cure}'
            )
        if None not in (before[NAMES], now[NAMES]) and before[NAMES] != now[NAMES]:
            raise ValueError(
                f'the checkpoint is of a training on images of other names than the {now[IMAGES]} '
                f'there are now: {cure}'
            )
        runner.message_hub.update_info_dict(now)

    def before_train_epoch(self, runner: Runner) -> None:
        """Send the sampler to the images that are left of the epoch.

        Raises:
            ValueError: The checkpoint was written with epochs of another length.
        """
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            return
        loader = runner.train_dataloader
        done = runner.iter - runner.epoch * len(loader)
        if not 0 <= done <= len(loader):
            raise ValueError(
                f'the checkpoint is at iteration {runner.iter}, epoch {runner.epoch}, but an epoch '
                f'now has {len(loader)} iterations: resume with the data set, '
                'train_dataloader.batch_size and number of processes it was written with'
            )
        loader.sampler.set_start(min(done * loader.batch_size, len(loader.sampler)))

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        """Seed the random generators from (seed, rank, iteration)."""
        entropy = (runner.seed, get_rank(), runner.iter)
        seeds = np.random.SeedSequence(entropy).generate_state(3)
        random.seed(int(seeds[0]))
        np.random.seed(int(seeds[1]))  # noqa: NPY002  the global generator is what others draw from
        torch.manual_seed(int(seeds[2]))
