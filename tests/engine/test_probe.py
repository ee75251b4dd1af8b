"""Evaluation before, during and after pretraining."""

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmcroc.engine.hooks.before_after_hook import BEFORE
from tests.paths import CONFIGS


def demo(work_dir, max_epochs=2, probe=True, **kwargs):
    """The demo on eight scenes, with a probe on a few."""
    cfg = Config.fromfile(CONFIGS / 'croc_vit-t_scenes.py')
    cfg.merge_from_dict(
        {
            'train_dataloader.batch_size': 4,
            'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False,
            'train_dataloader.pin_memory': False,
            'train_dataloader.dataset.num_images': 8,
            'train_cfg.max_epochs': 2,
            'train_cfg.val_interval': 1,
            'val_dataloader.dataset.num_images': 3,
            'val_evaluator.1.train_dataloader.dataset.num_images': 3,
            'default_hooks.checkpoint.interval': 1,
            'model.neck.num_prototypes': 16,
            'model.head.num_prototypes': 16,
            'model.neck.num_cluster_prototypes': 16,
            'model.head.num_cluster_prototypes': 16,
            'randomness.seed': 0,
            'work_dir': str(work_dir),
            'experiment_name': f'probe_{work_dir.name}_{probe}_{max_epochs}',
            **kwargs,
        }
    )
    if not probe:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    runner = Runner.from_cfg(cfg)
    if max_epochs == 1:  # stop early; the schedules are of the whole training
        run_iter = runner.train_loop.run_iter

        def until_the_second_epoch(idx, batch):
            if runner.epoch == 1:
                raise KeyboardInterrupt
            run_iter(idx, batch)

        runner.train_loop.run_iter = until_the_second_epoch
    return runner


@pytest.fixture(scope='module')
def probed(tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('probed')
    runner = demo(work_dir)
    validated = []
    evaluate = runner.val_loop.run
    runner.val_loop.run = lambda: validated.append((runner.iter, evaluate())) or validated[-1][1]
    runner.train()
    return runner, validated, next(work_dir.glob('*/*.log')).read_text()


def test_it_validates_before_the_first_iteration_and_after_the_last(probed):
    _, validated, _ = probed
    assert [iteration for iteration, _ in validated] == [0, 2, 4]


def test_the_last_table_shows_before_after_and_gain(probed):
    _, validated, log = probed
    table = log.split('What training gained:')[1]
    for name in ('clustering-probe/mIoU', 'linear-ridge/mIoU'):
        before, after = validated[0][1][name], validated[-1][1][name]
        row = next(line for line in table.splitlines() if name in line)
        assert [cell.strip() for cell in row.split('|')[2:5]] == [
            f'{before:.2f}', f'{after:.2f}', f'{after - before:+.2f}'
        ]  # fmt: skip


def test_training_is_the_same_with_and_without_the_probe(probed, tmp_path):
    runner = demo(tmp_path, probe=False)
    runner.train()
    for name, value in runner.model.state_dict().items():
        assert torch.equal(value, probed[0].model.state_dict()[name]), name


def test_a_resumed_run_compares_with_the_start_of_the_first(probed, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        demo(tmp_path, max_epochs=1).train()
    runner = demo(tmp_path, resume=True)
    runner.train()
    assert runner.message_hub.get_info(BEFORE) == probed[1][0][1]
    log = max(tmp_path.glob('*/*.log'), key=lambda path: path.stat().st_mtime).read_text()
    want = probed[2].split('What training gained:')[1].split('\n\n')[0]
    assert log.split('What training gained:')[1].split('\n\n')[0] == want
