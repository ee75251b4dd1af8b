"""Few parameter groups instead of one per parameter."""

from mmengine.optim import DefaultOptimWrapperConstructor

from mmcroc.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's default constructor (``paramwise_cfg`` and all), with equal groups merged.

    The default makes a group of every parameter, so that an optimiser updates them one by one;
    merged, one multi-tensor update does. Frozen modules (a momentum teacher) are passed over
    without a warning for each of their parameters.
    """

    def add_params(self, params, module, prefix='', is_dcn_module=None):
        if prefix and not any(p.requires_grad for p in module.parameters()):
            return
        super().add_params(params, module, prefix, is_dcn_module)
        if prefix == '':
            merged = {}
            for group in params:
                settings = {k: v for k, v in group.items() if k != 'params'}
                key = repr(sorted(settings.items()))
                merged.setdefault(key, dict(settings, params=[]))['params'] += group['params']
            params[:] = merged.values()
