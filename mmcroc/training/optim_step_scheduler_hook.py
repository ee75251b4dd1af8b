"""Schedules that count optimiser steps."""

from mmengine.hooks import ParamSchedulerHook

from mmcroc.registry import HOOKS


@HOOKS.register_module()
class OptimStepSchedulerHook(ParamSchedulerHook):
    """MMEngine's, but under gradient accumulation iter-based schedules count optimiser steps."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.optim_wrapper.should_update():
            super().after_train_iter(runner, batch_idx, data_batch, outputs)
