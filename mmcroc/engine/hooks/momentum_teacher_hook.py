"""The teacher follows the student."""

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from mmcroc.functional.schedules import warmup_cosine
from mmcroc.registry import HOOKS


@HOOKS.register_module()
class MomentumTeacherHook(Hook):
    """Exponential moving average of the student's parameters: ``θₜ ← m θₜ + (1 - m) θₛ``.

    Serves every model with ``student_teacher_pairs()``. It acts after the optimiser really
    stepped, so under gradient accumulation once per optimiser step; m rises by a cosine over the
    optimiser steps of the whole training. It keeps no state of its own: the step follows from the
    iteration, the teacher is part of the model.

    Args:
        momentum: m of the first step.
        end_momentum: m that the last step comes near.
    """

    def __init__(self, momentum: float = 0.996, end_momentum: float = 1.0):
        for name, value in (('momentum', momentum), ('end_momentum', end_momentum)):
            if not 0 <= value <= 1:
                raise ValueError(f'MomentumTeacherHook: {name} must be in [0, 1], got {value}')
        self.momentum = momentum
        self.end_momentum = end_momentum

    def before_train(self, runner):
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not hasattr(model, 'student_teacher_pairs'):
            raise TypeError(
                f'MomentumTeacherHook serves models with student_teacher_pairs(), which '
                f'{type(model).__name__} has not; remove the hook from custom_hooks'
            )
        pairs = model.student_teacher_pairs()
        self.students = [student for student, _ in pairs]
        self.teachers = [teacher for _, teacher in pairs]

    @torch.no_grad()
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        wrapper = runner.optim_wrapper
        if not wrapper.should_update():
            return
        step = wrapper.optim_steps(runner.iter + 1) - 1
        num_steps = wrapper.optim_steps(runner.max_iters)
        momentum = warmup_cosine(step, self.momentum, self.end_momentum, num_steps)
        torch._foreach_lerp_(self.teachers, self.students, 1 - momentum)
        runner.message_hub.update_scalar('train/teacher_momentum', momentum)
