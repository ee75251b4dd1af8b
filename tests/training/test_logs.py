"""Values are logged late but whole; a loss that is not finite stops the run."""

import pytest
import torch
from mmengine.hooks import Hook

from mmcroc.croc.algorithm import CrOC
from mmcroc.croc.optimizer_steps import training_progress
from mmcroc.numerics.token_spread import effective_rank, mean_cosine
from mmcroc.training.logs import DeferredRuntimeInfoHook, NonFiniteLossError, _to_host
from mmcroc.weights.checkpoint_file import read_file
from tests.support.released_training import recorded_config, recorded_runner


def run(path, work_dir, *hooks, interval=1, checkpoint=None):
    cfg, _ = recorded_config(path, work_dir)
    cfg['default_hooks'].update(logger=dict(type='LoggerHook', interval=interval))
    if checkpoint:
        cfg['default_hooks']['checkpoint'] = checkpoint
    runner, _ = recorded_runner(path, work_dir, default_hooks=cfg['default_hooks'])
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    return runner


def test_every_value_reaches_the_log_even_if_it_waits(fixtures_dir, tmp_path, monkeypatch):
    """As on a GPU: values wait for the logger. Each arrives once, in order."""
    flushes = []
    flush = DeferredRuntimeInfoHook.flush

    def counting_flush(self, runner):
        flushes.append(len(self.pending))
        flush(self, runner)

    monkeypatch.setattr(DeferredRuntimeInfoHook, 'flush', counting_flush)
    monkeypatch.setattr(DeferredRuntimeInfoHook, 'waits', staticmethod(lambda values: True))
    runner = run(fixtures_dir / 'croc_training.npz', tmp_path, interval=2)
    want = [float(losses['loss_image']) for losses in runner.model.history]
    got, counts = runner.message_hub.get_scalar('train/loss_image').data
    assert got == pytest.approx(want) and counts.tolist() == [1] * 8
    assert sum(flushes) == 8 and max(flushes) == 2


def test_the_spread_of_the_teachers_tokens_is_computed_and_logged_when_the_logger_prints(
    fixtures_dir, tmp_path, monkeypatch
):
    asked, diagnostics = [], CrOC.diagnostics

    def counting(self):
        asked.append(training_progress().iteration + 1)
        return diagnostics(self)

    monkeypatch.setattr(CrOC, 'diagnostics', counting)
    runner = run(fixtures_dir / 'croc_training.npz', tmp_path, interval=4)
    assert asked == [4, 8]
    tokens = runner.model._teacher_tokens.flatten(0, -2)
    for name, function in (('effective_rank', effective_rank), ('mean_cosine', mean_cosine)):
        values, _ = runner.message_hub.get_scalar(f'train/teacher_{name}').data
        assert len(values) == 2 and values[-1] == pytest.approx(function(tokens).item())


class Break(Hook):
    """Make the loss not finite in one iteration, through the weights."""

    def __init__(self, iteration):
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            with torch.no_grad():
                next(runner.model.backbone.parameters()).fill_(float('nan'))


@pytest.mark.parametrize('waits', [False, True])
def test_a_nan_loss_stops_the_run_and_names_iteration_and_checkpoint(
    fixtures_dir, tmp_path, monkeypatch, waits
):
    if waits:
        monkeypatch.setattr(DeferredRuntimeInfoHook, 'waits', staticmethod(lambda values: True))
    checkpoint = dict(type='mmcroc.AtomicCheckpointHook', interval=1)
    with pytest.raises(NonFiniteLossError) as error:
        run(
            fixtures_dir / 'croc_training.npz',
            tmp_path,
            Break(iteration=4),
            interval=100,
            checkpoint=checkpoint,
        )
    message = str(error.value)
    assert 'iteration 5' in message and 'loss_image=nan' in message
    assert str(tmp_path / 'epoch_2.pth') in message
    assert not (tmp_path / 'epoch_3.pth').exists()
    last = read_file(str(tmp_path / 'epoch_2.pth'))
    assert all(v.isfinite().all() for v in last['state_dict'].values() if v.is_floating_point())


class BreakGradient(Hook):
    """Make one gradient NaN in one iteration, whose loss is finite."""

    def __init__(self, iteration):
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            parameter = next(p for p in runner.model.parameters() if p.requires_grad)
            parameter.register_hook(lambda gradient: gradient * float('nan'))


def test_no_checkpoint_is_written_after_a_nan_gradient(fixtures_dir, tmp_path):
    """Once one was, and was called the last good one."""
    checkpoint = dict(type='mmcroc.AtomicCheckpointHook', interval=1)
    with pytest.raises(NonFiniteLossError, match=r'is not finite after iteration 4: a gr') as error:
        run(
            fixtures_dir / 'croc_training.npz',
            tmp_path,
            BreakGradient(iteration=3),
            checkpoint=checkpoint,
        )
    assert f'The last good checkpoint is {tmp_path / "epoch_1.pth"}' in str(error.value)
    assert not (tmp_path / 'epoch_2.pth').exists()


class Undiagnosed(Hook):
    """Have what a model computes for the log fail on NaN, as eigenvalues do."""

    def before_train(self, runner):
        diagnostics = runner.model.diagnostics

        def failing():
            measured = diagnostics()
            assert all(value.isfinite() for value in measured.values())
            return measured

        runner.model.diagnostics = failing


def test_a_nan_loss_is_told_of_before_what_it_makes_fail(fixtures_dir, tmp_path):
    with pytest.raises(NonFiniteLossError, match='not finite at iteration 4'):
        run(fixtures_dir / 'croc_training.npz', tmp_path, BreakGradient(iteration=2), Undiagnosed())


def test_without_a_checkpoint_the_error_says_so(fixtures_dir, tmp_path):
    with pytest.raises(NonFiniteLossError, match='No checkpoint had been written'):
        run(fixtures_dir / 'croc_training.npz', tmp_path, Break(iteration=0))


@pytest.mark.gpu
def test_values_on_a_device_wait_and_are_moved_in_order():
    mixed = [torch.tensor(float(i), device='cuda' if i % 2 else 'cpu') for i in range(4)]
    assert DeferredRuntimeInfoHook.waits(mixed)
    assert not DeferredRuntimeInfoHook.waits(mixed[::2])
    assert _to_host(mixed) == [0.0, 1.0, 2.0, 3.0]
