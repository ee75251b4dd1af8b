"""Evaluation before and after training: what it gained."""

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from prettytable import PrettyTable

from mmcroc.registry import HOOKS

#: Name of the first evaluation in the message hub, which is part of every checkpoint.
BEFORE = 'metrics_before_training'


@HOOKS.register_module()
class BeforeAfterHook(Hook):
    """Validate before the first iteration, and log a table of before and after at the end.

    Needs a validation; ``--no-validate`` turns the hook off with it. A resumed run compares with
    what was measured before its first iteration.
    """

    # After all other hooks have prepared for training.
    priority = 'LOWEST'

    def __init__(self) -> None:
        self.last: dict[str, float] | None = None

    def before_train(self, runner: Runner) -> None:
        """Measure what there is before the first iteration."""
        if runner.val_loop is not None and runner.iter == 0:
            runner.message_hub.update_info(BEFORE, runner.val_loop.run())

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the last validation's metrics."""
        self.last = metrics

    def after_train(self, runner: Runner) -> None:
        """Log the table of before and after."""
        before = runner.message_hub.runtime_info.get(BEFORE)
        if not before or not self.last or not is_main_process():
            return
        table = PrettyTable(['measure', 'before training', 'after', 'gain'])
        table.align = 'r'
        table.align['measure'] = 'l'
        for name, value in self.last.items():
            if name in before and not name.endswith('_std'):
                gain = value - before[name]
                table.add_row([name, f'{before[name]:.2f}', f'{value:.2f}', f'{gain:+.2f}'])
        runner.logger.info(f'What training gained:\n{table}')
