"""What training gained: the same evaluation before and after."""

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from prettytable import PrettyTable

from mmcroc.registry import HOOKS

#: Where the first evaluation is kept; the message hub is part of every checkpoint.
BEFORE = 'metrics_before_training'


@HOOKS.register_module()
class BeforeAfterHook(Hook):
    """Validate before the first iteration, and log a table of before and after at the end.

    Needs a validation; ``--no-validate`` turns the hook off with it. A resumed run compares with
    what was measured before its first iteration.
    """

    # After all other hooks have prepared for training.
    priority = 'LOWEST'

    def __init__(self):
        self.last = None

    def before_train(self, runner):
        if runner.val_loop is not None and runner.iter == 0:
            runner.message_hub.update_info(BEFORE, runner.val_loop.run())

    def after_val_epoch(self, runner, metrics=None):
        self.last = metrics

    def after_train(self, runner):
        before = runner.message_hub.runtime_info.get(BEFORE)
        if not before or not self.last or not is_main_process():
            return
        table = PrettyTable(['measure', 'before training', 'after', 'gain'])
        table.align, table.align['measure'] = 'r', 'l'
        for name, value in self.last.items():
            if name in before and not name.endswith('_std'):
                gain = value - before[name]
                table.add_row([name, f'{before[name]:.2f}', f'{value:.2f}', f'{gain:+.2f}'])
        runner.logger.info(f'What training gained:\n{table}')
