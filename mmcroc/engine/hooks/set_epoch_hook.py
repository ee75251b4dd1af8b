"""Tell what changes by epoch which epoch it is."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from mmcroc.registry import HOOKS


@HOOKS.register_module()
class SetEpochHook(Hook):
    """Call ``set_epoch(epoch)`` on every part of the model, and the optimiser wrapper, that has it.

    In CrOC these are the head (teacher temperature) and the wrapper (frozen last layers).
    """

    def before_train_epoch(self, runner):
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for part in (*model.modules(), runner.optim_wrapper):
            if callable(getattr(part, 'set_epoch', None)):
                part.set_epoch(runner.epoch)
