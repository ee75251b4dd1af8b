"""Evaluation before, during and after training: what it gains, and a guard against losses."""

import math
from collections.abc import Mapping
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from prettytable import PrettyTable

from mmcroc.registry import HOOKS

#: Name of the first evaluation in the message hub, which is part of every checkpoint.
BEFORE = 'metrics_before_training'


@HOOKS.register_module()
class BeforeAfterHook(Hook):
    """Validate before the first iteration, warn of losses, and log a table of before and after.

    Needs a validation; ``--no-validate`` turns the hook off with it. A resumed run compares with
    what was measured before its first iteration, and begins with the validation that the
    interrupted one had before it. ``default_hooks.checkpoint.save_best`` keeps the best checkpoint:
    the start's too, since it is validated.

    Args:
        allowed_loss: Guarded measures, such as ``'hummingbird-probe/mIoU'``, and the share of its
            value before training that each may lose: 0.1 warns of 40 that became less than 36.
            None: not guarded, where a config inherits one.
        stop: Whether training stops at a loss that is not allowed.

    Raises:
        ValueError: A share is not in [0, 1); before training: a guarded measure is not measured,
            or no best checkpoint is kept.
    """

    # After all other hooks have prepared for training, and after the best checkpoint is kept.
    priority = 'LOWEST'

    def __init__(
        self, allowed_loss: Mapping[str, float | None] | None = None, stop: bool = False
    ) -> None:
        given = (allowed_loss or {}).items()
        self.allowed_loss = {name: share for name, share in given if share is not None}
        self.stop = stop
        for name, share in self.allowed_loss.items():
            if not 0 <= share < 1:
                raise ValueError(
                    f'BeforeAfterHook: allowed_loss of {name} must be in [0, 1), a share of its '
                    f'value before training, got {share}'
                )
        self.last: dict[str, float] | None = None

    def before_train(self, runner: Runner) -> None:
        """Measure what there is before the first iteration, or where an interrupt left it out."""
        if runner.val_loop is None:
            return
        if self.allowed_loss and not _best(runner):
            raise ValueError(
                'BeforeAfterHook guards, but no best checkpoint is kept: set '
                f"default_hooks.checkpoint.save_best='{next(iter(self.allowed_loss))}'"
            )
        if runner.iter == 0:
            runner.message_hub.update_info(BEFORE, runner.val_loop.run())
        elif _validates_here(runner.train_loop):
            runner.val_loop.run()
        before = runner.message_hub.runtime_info.get(BEFORE, {})
        for name in self.allowed_loss:
            if math.isnan(before.get(name, math.nan)):
                raise ValueError(
                    f'BeforeAfterHook guards {name}, which was not measured before training; '
                    f'there is {", ".join(before) or "nothing"}'
                )

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the last validation's metrics; warn of what they lost."""
        self.last = metrics
        before = runner.message_hub.runtime_info.get(BEFORE, {})
        lost = [
            f'{name} fell from {before[name]:.2f} to {metrics[name]:.2f} (allowed: {share:.0%})'
            for name, share in self.allowed_loss.items()
            if metrics and name in before and not metrics[name] >= (1 - share) * before[name]
        ]
        if not lost:
            return
        runner.logger.warning(
            f'Training spoils the backbone: {", ".join(lost)} in {runner.iter} iterations. '
            + ' '.join(_best(runner))
            + (
                ' Training stops.'
                if self.stop
                else ' Training goes on (default_hooks.before_after.stop=True: it stops).'
            )
        )
        runner.train_loop.stop_training |= self.stop

    def after_train(self, runner: Runner) -> None:
        """Log the table of before and after, and which checkpoint is the best."""
        before = runner.message_hub.runtime_info.get(BEFORE)
        if not before or not self.last or not is_main_process():
            return
        table = PrettyTable(['measure', 'before training', 'after', 'change'])
        table.align = 'r'
        table.align['measure'] = 'l'
        for name, value in self.last.items():
            if name in before and not name.endswith('_std'):
                gain = value - before[name]
                table.add_row([name, f'{before[name]:.2f}', f'{value:.2f}', f'{gain:+.2f}'])
        runner.logger.info('\n'.join(['What training gained:', str(table), *_best(runner)]))


def _validates_here(loop: Any) -> bool:
    """Whether a loop validates after what it has done; a resumed one of MMEngine would not."""
    by_iter = isinstance(loop, IterBasedTrainLoop)
    done, end = (loop.iter, loop.max_iters) if by_iter else (loop.epoch, loop.max_epochs)
    if not by_iter and loop.iter != loop.epoch * len(loop.dataloader):
        return False
    return done >= loop.val_begin and (done % loop.val_interval == 0 or done == end)


def _best(runner: Runner) -> list[str]:
    """A sentence on each best checkpoint that is kept: its measure, and where its file is."""
    lines = []
    hub = runner.message_hub.runtime_info
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.save_best:
            for name in hook.key_indicators:
                end = f'_{name}' if len(hook.key_indicators) > 1 else ''
                score = hub.get(f'best_score{end}', float('nan'))
                path = hub.get(f'best_ckpt{end}')
                lines.append(f'Best {name}: {score:.2f}, {path}.')
    return lines
