"""Progress of evaluations, told by time: what is done, and the time left."""

import logging
import time
from collections.abc import Sequence
from typing import Any

from mmengine.hooks import LoggerHook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from mmcroc.numerics.distributed import get_rank
from mmcroc.registry import HOOKS

#: Seconds between two lines of progress.
LOG_EVERY = 20


class Progress:
    """Lines with the time left, every ``LOG_EVERY`` seconds, on the main process.

    Args:
        purpose: First words of the lines.
        total: Number of steps.
        unit: Name of a step.
    """

    def __init__(self, purpose: str, total: int, unit: str = 'batch') -> None:
        self.purpose, self.total, self.unit, self.done = purpose, total, unit, 0
        self.began = self.logged = time.perf_counter()

    def step(self) -> None:
        """Count one step as done."""
        self.done += 1
        now = time.perf_counter()
        if get_rank() or now - self.logged < LOG_EVERY:
            return
        self.logged = now
        left = (now - self.began) / self.done * (self.total - self.done)
        MMLogger.get_current_instance().info(
            f'{self.purpose}: {self.unit} {self.done} of {self.total}, {left / 60:.1f} min left'
        )


@HOOKS.register_module()
class EvaluationLoggerHook(LoggerHook):
    """Logger of MMEngine that also tells of progress by time, with the time left.

    MMEngine's counts batches, which an evaluation may have few of, or slow ones.
    """

    interval: int

    def before_train(self, runner: Runner) -> None:
        """Begin to watch the time."""
        super().before_train(runner)
        self.logged = time.perf_counter()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        """Log an iteration of the interval, or one since ``LOG_EVERY`` seconds without a line."""
        interval, now = self.interval, time.perf_counter()
        if now - self.logged >= LOG_EVERY:
            self.interval = 1
        if self.every_n_inner_iters(batch_idx, self.interval):
            self.logged = now
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        self.interval = interval

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: Sequence | None = None,
    ) -> None:
        """Count one batch of the validation as done."""
        self._step(runner.val_loop, batch_idx)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: Sequence | None = None,
    ) -> None:
        """Count one batch of the test as done."""
        self._step(runner.test_loop, batch_idx)

    def _step(self, loop: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            names = [getattr(m, 'protocol', type(m).__name__) for m in loop.evaluator.metrics]
            purpose = f'{", ".join(dict.fromkeys(names))}, scored images'
            self.progress = Progress(purpose, len(loop.dataloader))
        self.progress.step()


def log_progress(runner: Runner) -> None:
    """Let a silent runner tell of its progress: lines, not tables, which the report holds."""
    runner.logger.setLevel(logging.INFO)
    for handler in runner.logger.handlers:
        handler.setLevel(min(handler.level, logging.INFO) if get_rank() == 0 else handler.level)
        if not isinstance(handler, logging.FileHandler):
            handler.addFilter(lambda record: '\n' not in record.getMessage())
