"""The guard of a training: it tells of a loss, and keeps what was the best."""

import re
from unittest.mock import MagicMock

import pytest
import torch
from mmengine.config import Config

from mmcroc.training.launch import start
from mmcroc.training.probes import BEFORE, BeforeAfterHook
from tests.support.paths import CONFIGS

RANK = 'views/effective_rank'
#: A learning rate that no tiny network survives, its heads fresh and all its blocks learning.
HIGH = {'optim_wrapper.optimizer.lr': 0.05, 'model.teacher_momentum': 0.9}


def run(work_dir, **settings):
    """Train the demo on sixteen scenes, guarded; gives the runner and its log."""
    cfg = Config.fromfile(CONFIGS / 'croc_vit-t_scenes.py')
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    loader = dict(batch_size=8, num_workers=0, persistent_workers=False, pin_memory=False)
    cfg.train_dataloader.update(loader)
    prototypes = dict(num_prototypes=32, num_cluster_prototypes=32)
    cfg.model.neck.update(prototypes), cfg.model.head.update(prototypes)
    cfg.train_dataloader.dataset.num_images = 16
    cfg.model.freeze_last_layer_epochs = cfg.model.head.warmup_epochs = 0
    cfg.param_scheduler = []
    cfg.default_hooks.update(
        token_pictures=None,
        checkpoint=dict(cfg.default_hooks.checkpoint, interval=2, save_best=RANK, rule='greater'),
        view_measures=dict(type='mmcroc.ViewMeasuresHook', num_images=4),
        before_after=dict(type='mmcroc.BeforeAfterHook', allowed_loss={RANK: 0.3}),
    )
    cfg.update(
        work_dir=str(work_dir),
        experiment_name=f'guard_{work_dir.name}',
        randomness=dict(seed=0),
        train_cfg=dict(cfg.train_cfg, max_epochs=4, val_interval=1),
    )
    cfg.merge_from_dict(settings)
    with start(cfg) as runner:
        runner.train()
    log = max(work_dir.glob('*/*.log'), key=lambda path: path.stat().st_mtime)
    return runner, log.read_text()


@pytest.fixture(scope='module')
def collapsed(tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('collapsed')
    return *run(work_dir, **HIGH, **{'default_hooks.before_after.stop': True}), work_dir


def test_a_collapse_is_told_within_one_interval_and_stops_training(collapsed):
    runner, log, _ = collapsed
    warning = re.search(r'WARNING - Training spoils the backbone: (.*)', log).group(1)
    assert re.match(
        rf'{RANK} fell from [\d.]+ to [\d.]+ \(allowed: 30%\) in 2 iterations\. ', warning
    )
    assert warning.endswith('Training stops.') and runner.iter == 2 and runner.epoch == 1


def test_the_best_checkpoint_of_a_collapsed_training_is_its_start(collapsed):
    runner, log, work_dir = collapsed
    path = work_dir / 'best_views_effective_rank_epoch_0.pth'
    before = runner.message_hub.get_info(BEFORE)[RANK]
    assert log.rstrip().splitlines()[-1] == f'Best {RANK}: {before:.2f}, {path}.'
    kept = torch.load(path, weights_only=False)
    assert kept['meta']['iter'] == 0
    changed = [
        name
        for name, value in runner.model.state_dict().items()
        if not torch.equal(value, kept['state_dict'][name])
    ]
    assert any(name.startswith('teacher.backbone') for name in changed)
    student, teacher = ('backbone.', 'teacher.backbone.')
    for name, value in kept['state_dict'].items():  # nothing was learnt yet
        if name.startswith(teacher):
            assert torch.equal(value, kept['state_dict'][student + name.removeprefix(teacher)])


def test_all_that_a_validation_lost_is_one_warning():
    """Also what is no number any more; what lost little is not named."""
    hook = BeforeAfterHook(dict(a=0.1, b=0.5, c=0.1, d=0.1))
    runner = MagicMock(iter=7, hooks=[])
    runner.message_hub.runtime_info = {BEFORE: dict(a=10.0, b=10.0, c=10.0)}
    runner.train_loop.stop_training = False
    hook.after_val_epoch(runner, dict(a=8.0, b=8.0, c=float('nan'), d=1.0))
    ((text,), _) = runner.logger.warning.call_args
    assert text.startswith(
        'Training spoils the backbone: a fell from 10.00 to 8.00 (allowed: 10%), '
        'c fell from 10.00 to nan (allowed: 10%) in 7 iterations. '
    )
    assert runner.logger.warning.call_count == 1 and not runner.train_loop.stop_training
    hook.after_val_epoch(runner, dict(a=9.5, b=8.0, c=9.5, d=1.0))
    assert runner.logger.warning.call_count == 1


def test_a_guard_that_only_warns_lets_training_go_on(tmp_path):
    runner, log = run(tmp_path, **HIGH, **{'train_cfg.max_epochs': 2})
    assert runner.epoch == 2
    assert 'Training goes on (default_hooks.before_after.stop=True: it stops).' in log
    assert len(re.findall('Training spoils', log)) == 2


def test_a_training_that_loses_little_is_left_alone(tmp_path):
    _, log = run(tmp_path, **{'optim_wrapper.optimizer.lr': 1e-6, 'train_cfg.max_epochs': 1})
    assert 'spoils' not in log and 'What training gained:' in log


def test_what_is_lost_by_a_resumed_run_counts_from_its_start(tmp_path):
    first, _ = run(tmp_path, **HIGH, **{'train_cfg.max_epochs': 1})
    runner, log = run(tmp_path, **HIGH, resume=True, **{'train_cfg.max_epochs': 2})
    before = first.message_hub.get_info(BEFORE)
    assert runner.message_hub.get_info(BEFORE) == before
    assert f'{RANK} fell from {before[RANK]:.2f}' in log and ' in 4 iterations' in log
    assert f'Best {RANK}: {before[RANK]:.2f}, {tmp_path}/best_views_effective_rank_epoch_0' in log


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (
            {'default_hooks.before_after.allowed_loss': {'probe/mIoU': 0.1}},
            r'guards probe/mIoU, which was not measured .* there is views/effective_rank, ',
        ),
        (
            {'default_hooks.checkpoint.save_best': None},
            r"no best checkpoint is kept: set default_hooks.checkpoint.save_best='views/effective_",
        ),
    ],
    ids=['not measured', 'nothing kept'],
)
def test_a_guard_that_could_not_guard_is_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **settings)


def test_an_allowed_loss_of_all_or_more_is_refused():
    with pytest.raises(ValueError, match=r'of a/mIoU must be in \[0, 1\), a share .*, got 2'):
        BeforeAfterHook(allowed_loss={'a/mIoU': 2})
