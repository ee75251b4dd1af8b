"""Short trainings that paint pictures, and what they must leave alone."""

import random

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from tests.support.paths import CONFIGS


def small_run(name, work_dir):
    """A demo's config for batches of 2 of 4 images, without exact resume and evaluation.

    The random generators run on from iteration to iteration: what disturbs them shows.
    """
    cfg = Config.fromfile(CONFIGS / name)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.default_hooks.pop('exact_resume')
    cfg.merge_from_dict(
        {
            'work_dir': str(work_dir),
            'randomness.seed': 3,
            'log_level': 'WARNING',
            'experiment_name': f'{work_dir.parent.name}_{work_dir.name}',
            'train_dataloader': dict(
                batch_size=2, num_workers=0, persistent_workers=False, pin_memory=False
            ),
            'train_dataloader.dataset.num_images': 4,
        }
    )
    return cfg


def train(cfg, *hooks):
    runner = Runner.from_cfg(cfg)
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    return runner


def pictures(work_dir):
    """Names of what was painted."""
    return sorted(path.name for path in (work_dir / 'pictures').iterdir())


def generator_states():
    """Of all random generators of the host, to be compared."""
    numbers = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), numbers[1].tolist(), numbers[2:], random.getstate()


def modes(model):
    """Whether each module trains."""
    return [module.training for module in model.modules()]
