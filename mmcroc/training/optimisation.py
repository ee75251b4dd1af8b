"""Parameter groups of an optimiser, and schedules that count its steps."""

from typing import Any

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

    More entries of ``paramwise_cfg``, whose factors multiply those of the others:
    ``every_bias=dict(lr_mult=2.0, decay_mult=0.0)`` holds for every parameter named bias, those of
    norms and attentions too, which ``bias_lr_mult`` leaves out. ``backbone_lr_mult=0.1`` holds for
    ``model.backbone``, and changes no rule of decay, as an entry of ``custom_keys`` would.
    ``layer_decay_rate=0.75`` gives a block 0.75 times the rate of the block behind it, the last one
    0.75 times that of the final norm (Bao, Dong and Wei, *BEiT*, ICLR 2022); how deep a parameter
    is, the backbone's ``get_layer_depth`` says, as in MMPretrain.
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
            self._set_backbone(params, module)
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

    def _set_backbone(self, params: list[dict], module: nn.Module) -> None:
        """Multiply the rates of the backbone's groups by ``backbone_lr_mult`` and layer decay."""
        factor = self.paramwise_cfg.get('backbone_lr_mult', 1.0)
        decay = self.paramwise_cfg.get('layer_decay_rate', 1.0)
        if factor == decay == 1:
            return
        names = {id(p): name for name, p in module.named_parameters()}
        for group in params:
            name = names[id(group['params'][0])]
            if name.startswith('backbone.'):
                lr = group.get('lr', self.base_lr) * factor
                if decay != 1:
                    backbone: Any = module.backbone
                    depth, number = backbone.get_layer_depth(name, 'backbone.')
                    lr *= decay ** (number - depth - 1)
                group['lr'] = lr


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
