"""Parameter groups of an optimiser, and schedules that count its steps."""

from mmengine.hooks import ParamSchedulerHook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.runner import Runner
from torch import nn

from mmcroc.registry import HOOKS, OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's default constructor (``paramwise_cfg`` and all), with equal groups merged.

    The default makes a group of every parameter, so that an optimiser updates them one by one;
    merged, one multi-tensor update does. Frozen modules (a momentum teacher) are passed over
    without a warning for each of their parameters.

    One more entry of ``paramwise_cfg``: ``every_bias=dict(lr_mult=2.0, decay_mult=0.0)`` holds for
    every parameter named bias, those of norms and attentions too, which ``bias_lr_mult`` leaves
    out. Its factors multiply those that other entries, such as ``custom_keys``, give a bias.
    """

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Add the groups of a module and, of the whole model, merge equal ones."""
        if prefix and not any(p.requires_grad for p in module.parameters()):
            return
        super().add_params(params, module, prefix, is_dcn_module)
        if prefix == '':
            self._set_biases(params, module)
            merged: dict[str, dict] = {}
            for group in params:
                settings = {k: v for k, v in group.items() if k != 'params'}
                key = repr(sorted(settings.items()))
                merged.setdefault(key, dict(settings, params=[]))['params'] += group['params']
            params[:] = merged.values()

    def _set_biases(self, params: list[dict], module: nn.Module) -> None:
        """Multiply settings of the groups of biases by the factors of ``every_bias``."""
        settings = self.paramwise_cfg.get('every_bias')
        if settings is None:
            return
        biases = {id(p) for name, p in module.named_parameters() if name.endswith('bias')}
        for group in params:
            if any(id(parameter) in biases for parameter in group['params']):
                group['lr'] = group.get('lr', self.base_lr) * settings.get('lr_mult', 1.0)
                if self.base_wd is not None:
                    decay = group.get('weight_decay', self.base_wd)
                    group['weight_decay'] = decay * settings.get('decay_mult', 1.0)


@HOOKS.register_module()
class OptimStepSchedulerHook(ParamSchedulerHook):
    """Schedules of MMEngine that count optimiser steps, also under gradient accumulation."""

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        """Step iter-based schedules where the optimiser stepped."""
        if runner.optim_wrapper.should_update():
            super().after_train_iter(runner, batch_idx, data_batch, outputs)
