"""CrOC's own part of an optimiser's step, whoever runs the training."""

import copy
import pickle

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.runner import Runner

from mmcroc.croc.algorithm import CrOC
from mmcroc.croc.optim_wrapper import SelfDistillOptimWrapper
from mmcroc.croc.optimizer_steps import act_around_next_step
from tests.support.croc_models import build_croc, croc_config
from tests.support.paths import CONFIGS
from tests.support.released_training import recorded_config, recorded_runner


class Watch(Hook):
    """Keep a student's and its teacher's weights and both last layers after each iteration."""

    def before_train(self, runner):
        model = runner.model
        student, teacher = model.student_teacher_pairs()[4]
        self.start = teacher.clone()
        self.watched = student, teacher, model.neck.prototypes.weight, model.head
        self.rows = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        student, teacher, prototypes, head = self.watched
        self.rows.append(
            dict(
                student=student.detach().clone(),
                teacher=teacher.clone(),
                prototypes=prototypes.detach().clone(),
                temperature=head.teacher_temperature,
                momentum=float(outputs['teacher_momentum']),
            )
        )


def assert_the_teacher_follows(watch):
    teacher = watch.start
    for row in watch.rows:
        m = row['momentum']
        assert 0 < m < 1
        teacher = m * teacher + (1 - m) * row['student']
        torch.testing.assert_close(row['teacher'], teacher, rtol=1e-5, atol=1e-7)
    assert not torch.equal(teacher, watch.start)


@pytest.fixture
def training(fixtures_dir):
    return fixtures_dir / 'croc_training.npz'


def stock(training, work_dir, wrapper='OptimWrapper', **overrides):
    """A Runner with MMEngine's wrapper, constructor, hooks; no clipping."""
    cfg, _ = recorded_config(training, work_dir)
    settings = {k: cfg['optim_wrapper'][k] for k in ('optimizer', 'paramwise_cfg')}
    overrides = dict(default_hooks=dict(checkpoint=None)) | overrides
    runner, _ = recorded_runner(
        training, work_dir, optim_wrapper=dict(type=wrapper, **settings), **overrides
    )
    runner.register_hook(watch := Watch())
    return runner, watch


def test_a_users_custom_hooks_take_nothing_from_an_inherited_config(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(
        f'_base_ = {str(CONFIGS / "croc_vit-t_scenes.py")!r}\n'
        "custom_hooks = [dict(type='EmptyCacheHook')]\n"
        'val_dataloader = val_cfg = val_evaluator = None\n'
        'train_cfg = dict(max_epochs=3)\n'
        'default_hooks = dict(token_pictures=None, checkpoint=None)\n'
        'train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False,\n'
        '                        pin_memory=False, dataset=dict(num_images=2))\n'
    )
    cfg = Config.fromfile(path)
    del cfg.default_hooks['token_pictures']
    cfg.update(work_dir=str(tmp_path), log_level='WARNING', experiment_name='custom_hooks')
    runner = Runner.from_cfg(cfg)
    runner.register_hook(watch := Watch())
    runner.train()
    assert_the_teacher_follows(watch)
    temperatures = [row['temperature'] for row in watch.rows]
    assert temperatures[0] == 0.06 and temperatures == sorted(set(temperatures), reverse=True)
    moved = [not torch.equal(row['prototypes'], watch.rows[0]['prototypes']) for row in watch.rows]
    assert moved == [False, True, True]


def test_a_stock_wrapper_gives_the_numbers_of_ours(training, tmp_path):
    runner, watch = stock(training, tmp_path / 'stock')
    runner.train()
    assert_the_teacher_follows(watch)
    cfg, rec = recorded_config(training, tmp_path)
    cfg['optim_wrapper']['max_tensor_norm'] = None
    ours, _ = recorded_runner(training, tmp_path / 'ours', optim_wrapper=cfg['optim_wrapper'])
    ours.train()
    for name, value in ours.model.state_dict().items():
        assert torch.equal(runner.model.state_dict()[name], value), name
    waiting = rec.freeze_last_layer_epochs * rec.iters_per_epoch
    prototypes = runner.model.neck.prototypes.weight
    state = runner.optim_wrapper.optimizer.state
    assert state[prototypes]['step'] == len(watch.rows) - waiting  # no moments meanwhile
    assert torch.equal(watch.rows[0]['prototypes'], watch.rows[waiting - 1]['prototypes'])
    assert not torch.equal(watch.rows[-1]['prototypes'], watch.rows[waiting - 1]['prototypes'])


def test_the_teacher_follows_under_mmengines_mixed_precision(training, tmp_path, monkeypatch):
    """MMEngine's wrapper asks for a GPU; told that there is one, it computes in bfloat16."""
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    runner, watch = stock(training, tmp_path, 'AmpOptimWrapper')
    runner.train()
    assert_the_teacher_follows(watch)


@pytest.mark.parametrize(
    ('overrides', 'error', 'message'),
    [
        (
            dict(default_hooks=dict(checkpoint=None, runtime_info=None, logger=None)),
            RuntimeError,
            r"default_hooks\.runtime_info=dict\(type='RuntimeInfoHook'\)",
        ),
        (
            dict(train_cfg=dict(by_epoch=False, max_iters=8), param_scheduler=None),
            ValueError,
            r'freeze_last_layer_epochs=0 and model\.head\.warmup_epochs=0',
        ),
    ],
    ids=['unknown progress', 'training without epochs'],
)
def test_training_that_cannot_be_crocs_is_refused_before_its_first_step(
    training, tmp_path, overrides, error, message
):
    runner, watch = stock(training, tmp_path, **overrides)
    before = copy.deepcopy(runner.model.state_dict())
    with pytest.raises(error, match=message):
        runner.train()
    assert not watch.rows
    after = runner.model.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items() if 'center' not in k)


def test_a_student_that_moves_without_a_step_of_its_optimiser_is_refused(training, tmp_path):
    """As under wrappers that keep the weights to themselves."""

    class MoveElsewhere(Hook):
        def before_run(self, runner):
            def update_params(loss):
                with torch.no_grad():
                    for parameter in runner.model.backbone.parameters():
                        parameter.add_(1e-3)

            runner.optim_wrapper.update_params = update_params

    runner, watch = stock(training, tmp_path)
    runner.register_hook(MoveElsewhere())
    with pytest.raises(RuntimeError, match='the teacher cannot follow; train with an OptimWrapper'):
        runner.train()
    assert len(watch.rows) == 1


def a_loss(model):
    boxes = torch.tensor([0.0, 0.0, 32.0, 32.0, 0.0]).expand(2, 2, 5)
    views = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    losses = model(views, None, mode='loss', view_boxes=boxes)
    return sum(value for name, value in losses.items() if 'loss' in name)


def test_an_optimiser_of_a_part_of_the_student_is_refused():
    model = build_croc()
    optimizer = torch.optim.SGD(model.backbone.parameters(), lr=0.1)
    a_loss(model).backward()
    with pytest.raises(ValueError, match=r'CrOC: a SGD holds \d+ of its \d+ trainable parameters'):
        optimizer.step()


def test_a_training_whose_iterations_nobody_counts_is_refused_at_its_second_step():
    hub = MessageHub.get_instance('uncounted')
    hub.update_info_dict(dict(loop_stage='train', iter=3, max_iters=10, epoch=1, max_epochs=5))
    model = build_croc()
    optimizer = torch.optim.SGD(model.learning_parameters(), lr=0.1)
    try:
        a_loss(model).backward()
        optimizer.step()
        a_loss(model).backward()
        with pytest.raises(RuntimeError, match='a second optimiser step in iteration 3'):
            optimizer.step()
    finally:
        hub.pop_info('loop_stage')


@pytest.mark.parametrize('wrapped', [True, False])
def test_a_fused_step_that_overflows_is_left_out_or_refused(wrapped):
    model = build_croc()
    optimizer = torch.optim.AdamW(model.learning_parameters(), lr=0.1, fused=True)
    if wrapped:
        scaler = SelfDistillOptimWrapper(optimizer, amp_dtype='float16').loss_scaler
    else:
        scaler = torch.amp.GradScaler('cpu')
    act_around_next_step(model)
    before = [teacher.clone() for _, teacher in model.student_teacher_pairs()]
    overflow = sum(p.sum() for p in model.learning_parameters()) * float('inf')
    scaler.scale(overflow).backward()
    scaler.unscale_(optimizer)
    if wrapped:
        scaler.step(optimizer)  # else before_optimizer_step would miss a Runner
    else:
        with pytest.raises(ValueError, match=r'fused AdamW under float16.*fused=False'):
            scaler.step(optimizer)
    after = [teacher for _, teacher in model.student_teacher_pairs()]
    torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_an_optimiser_of_something_else_is_left_alone():
    model = build_croc()
    a_loss(model)
    other = torch.nn.Linear(2, 2)
    torch.optim.SGD(other.parameters(), lr=0.1).step()


def test_a_model_that_has_computed_losses_can_be_copied_and_pickled():
    model = build_croc()
    a_loss(model).backward()
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert all(
            torch.equal(value, twin.state_dict()[name])
            for name, value in model.state_dict().items()
        )


@pytest.mark.parametrize('name', ['teacher_momentum', 'end_teacher_momentum'])
def test_momenta_outside_0_and_1_are_refused(name):
    settings = {k: v for k, v in croc_config()['model'].items() if k != 'type'}
    with pytest.raises(ValueError, match=rf'{name} must be in \[0, 1\], got 1.2'):
        CrOC(**settings, **{name: 1.2})
