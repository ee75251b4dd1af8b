"""SIGTERM ends a training by a checkpoint that it is resumed from."""

import os
import signal

import pytest
from mmengine.hooks import Hook

from mmcroc.config_files import read_config
from mmcroc.training.launch import start
from mmcroc.weights.checkpoint_file import read_file
from tests.support.faults import TINY


class Tell(Hook):
    """SIGTERM to this process in the first batch of a validation."""

    def __init__(self, iteration):
        self.iteration = iteration

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration and batch_idx == 0:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def run(tmp_path):
    """Run the tiny training with validations; gives the runner and where they took place."""

    def run(*hooks, **options):
        demo = read_config('mmcroc::croc_vit-t_scenes.py')
        cfg = read_config(str(TINY))
        for name in ('val_cfg', 'val_dataloader', 'val_evaluator'):
            cfg[name] = demo[name]
        cfg.val_evaluator = cfg.val_evaluator[:1]
        cfg.val_dataloader.update(num_workers=0, persistent_workers=False, batch_size=1)
        cfg.val_dataloader.dataset.update(num_images=3)
        cfg.merge_from_dict({'train_cfg.val_interval': 1, 'work_dir': str(tmp_path), **options})
        cfg.experiment_name = f'{tmp_path.name}{len(options)}'
        validated = []
        with start(cfg) as runner:
            for hook in hooks:
                runner.register_hook(hook)
            evaluate = runner.val_loop.run
            runner.val_loop.run = lambda: validated.append(runner.iter) or evaluate()
            runner.train()
        return runner, validated

    return run


def test_in_a_validation_it_ends_the_run_which_resumes_with_that_validation(run, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stop:
        run(Tell(iteration=3))
    assert stop.value.code == 75
    assert signal.getsignal(signal.SIGTERM) == before
    meta = read_file(str(tmp_path / 'interrupted.pth'))['meta']
    assert (meta['epoch'], meta['iter']) == (1, 3)
    runner, validated = run(resume=True)
    assert validated == [3, 6] and runner.iter == 6
    assert signal.getsignal(signal.SIGTERM) == before


def test_before_the_first_iteration_it_ends_the_run_without_a_checkpoint(run, tmp_path):
    with pytest.raises(SystemExit) as stop:
        run(Tell(iteration=0))
    assert stop.value.code == 75 and not list(tmp_path.glob('*.pth'))
