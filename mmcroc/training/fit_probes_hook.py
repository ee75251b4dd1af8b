"""Fit what has to be fitted before it can evaluate."""

from mmengine.hooks import Hook

from mmcroc.registry import HOOKS


@HOOKS.register_module()
class FitProbesHook(Hook):
    """Call ``fit(model)`` on every metric that has it, such as ``LinearRidgeIoU``.

    Before each validation and before the test, with the model as it then is.
    """

    priority = 'LOW'

    def before_val_epoch(self, runner):
        self._fit(runner, runner.val_loop)

    def before_test_epoch(self, runner):
        self._fit(runner, runner.test_loop)

    @staticmethod
    def _fit(runner, loop):
        for metric in loop.evaluator.metrics:
            if callable(getattr(metric, 'fit', None)):
                metric.fit(runner.model)
