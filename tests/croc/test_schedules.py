"""Schedules in closed form, and with the teacher in a real run that may accumulate gradients."""

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmcroc.croc.schedules import WarmupCosineLR, WarmupCosineWeightDecay, warmup_cosine
from tests.support.released_training import recorded_config, recorded_runner


def test_warmup_and_cosine_agree_with_arrays():
    base, end, steps, warmup = 0.3, 0.01, 20, 5
    ramp = np.linspace(0, base, warmup)
    i = np.arange(steps - warmup)
    cosine = end + 0.5 * (base - end) * (1 + np.cos(np.pi * i / len(i)))
    got = [warmup_cosine(step, base, end, steps, warmup) for step in range(steps)]
    np.testing.assert_allclose(got, np.r_[ramp, cosine], rtol=1e-12)


def test_the_first_step_of_a_warmup_is_zero_and_the_end_is_never_reached():
    assert warmup_cosine(0, 1.0, 0.0, 10, 1) == 0
    assert warmup_cosine(0, 1.0, 0.0, 10, 0) == 1
    assert warmup_cosine(9, 1.0, 0.5, 10, 0) > 0.5
    assert warmup_cosine(99, 1.0, 0.5, 10, 0) == pytest.approx(0.5)


class Watch(Hook):
    """Keep the settings of every iteration and whether student and teacher moved in it."""

    priority = 'VERY_LOW'

    def before_train(self, runner):
        self.rows, (self.student, self.teacher) = [], runner.model.student_teacher_pairs()[4]

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        group = runner.optim_wrapper.optimizer.param_groups[0]
        self.before = self.student.clone(), self.teacher.clone()
        self.rows.append(dict(lr=group['lr']))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        student, teacher = self.before
        momentum = runner.message_hub.get_scalar('train/teacher_momentum').current()
        self.rows[-1].update(
            student_moved=not torch.equal(student, self.student),
            teacher_moved=not torch.equal(teacher, self.teacher),
            momentum=momentum,
        )


@pytest.fixture
def training(fixtures_dir):
    return fixtures_dir / 'croc_training.npz'


@pytest.mark.parametrize('stock', [False, True], ids=['ours', 'stock'])
def test_accumulation_counts_optimiser_steps(training, tmp_path, stock):
    """8 iterations are 4 steps: everything is planned and done per step.

    With MMEngine's wrapper and hooks as with ours.
    """
    cfg, rec = recorded_config(training, tmp_path)
    wrapper, hooks = cfg['optim_wrapper'], cfg['default_hooks']
    if stock:
        wrapper['type'] = 'OptimWrapper'
        del wrapper['max_tensor_norm'], wrapper['constructor']
        hooks = dict(checkpoint=None)
    wrapper['accumulative_counts'] = 2
    runner, _ = recorded_runner(training, tmp_path, optim_wrapper=wrapper, default_hooks=hooks)
    momenta = []
    watch = Watch()
    runner.register_hook(watch)
    runner.train()
    assert len(watch.rows) == 8
    base = rec.base_lr * rec.batch_for_lr_rule / 256
    for step in range(4):
        first, second = watch.rows[2 * step : 2 * step + 2]
        want = warmup_cosine(step, base, rec.min_lr, 4, 1)
        assert first['lr'] == second['lr'] == pytest.approx(want, rel=1e-12)
        assert not first['student_moved'] and not first['teacher_moved']
        assert second['student_moved'] == (want > 0)
        assert first['momentum'] == second['momentum']
        momenta.append(second['momentum'])
    want = [warmup_cosine(step, *rec.momentum, 4) for step in range(4)]
    assert momenta == pytest.approx(want, rel=1e-12)


def test_the_teacher_is_the_moving_average_of_the_student(training, tmp_path):
    runner, _ = recorded_runner(training, tmp_path)
    model = runner.model
    average = [teacher.clone() for _, teacher in model.student_teacher_pairs()]

    class Follow(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            m = runner.message_hub.get_scalar('train/teacher_momentum').current()
            for mean, (student, _) in zip(average, model.student_teacher_pairs(), strict=True):
                mean.mul_(m).add_((1 - m) * student.detach())

    runner.register_hook(Follow())
    runner.train()
    for mean, (student, teacher) in zip(average, model.student_teacher_pairs(), strict=True):
        torch.testing.assert_close(teacher, mean, rtol=1e-5, atol=1e-7)
        assert not teacher.requires_grad and not torch.equal(teacher, student)


def test_a_value_of_zero_stays_zero_and_the_other_follows_the_schedule():
    decayed, spared = ([torch.nn.Parameter(torch.zeros(1))] for _ in range(2))
    groups = [dict(params=decayed, weight_decay=0.04), dict(params=spared, weight_decay=0.0)]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    schedule = WarmupCosineWeightDecay(optimizer, end_value=0.4, end=10, by_epoch=False)
    for step in range(10):
        assert optimizer.param_groups[0]['weight_decay'] == warmup_cosine(step, 0.04, 0.4, 10)
        assert optimizer.param_groups[1]['weight_decay'] == 0
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize('settings', [dict(end=5, warmup=5), dict(warmup=1)])
def test_schedules_without_room_are_refused(settings):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match='end'):
        WarmupCosineLR(optimizer, **settings)


def test_a_run_shorter_than_its_warmup_is_refused_in_the_configs_terms(training, tmp_path):
    """Once it was counted in iterations, under names that no config has."""
    cfg, _ = recorded_config(training, tmp_path)
    epochs = cfg['train_cfg']['max_epochs']
    cfg['param_scheduler'][0]['warmup'] = epochs
    with pytest.raises(ValueError, match=r'param_scheduler\.0\.warmup') as error:
        Runner.from_cfg(cfg).train()
    assert f'warmup={epochs} epochs' in str(error.value)
    assert f'{epochs} epochs (its end, by default train_cfg.max_epochs)' in str(error.value)


def test_fewer_images_than_a_batch_are_named_as_the_cause(training, tmp_path):
    cfg, _ = recorded_config(training, tmp_path)
    cfg['train_dataloader'].update(batch_size=100, drop_last=True)
    with pytest.raises(ValueError, match=r'train_dataloader\.batch_size'):
        Runner.from_cfg(cfg).train()
