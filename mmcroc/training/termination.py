"""SIGTERM: a checkpoint at the next step, and an exit code that asks for another start."""

import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner

from mmcroc.atomic_file import atomic_file
from mmcroc.registry import HOOKS
from mmcroc.training.checkpoints import BACKEND, INTERRUPTED

#: EX_TEMPFAIL of sysexits.h: a failure that passes, to be tried again.
EXIT_CODE = 75


@HOOKS.register_module()
class TerminationHook(Hook):
    """Hook that ends a training which is told to (SIGTERM) by a checkpoint to resume from.

    Slurm sends SIGTERM before a job's time is up or its node is needed, and so do clouds. Once the
    iteration, or the validation's batch, is done, ``interrupted.pth`` is written, which
    ``--resume`` goes on from, and the process exits with code 75. Of several processes the first
    one writes; the others go on until it leaves them. :func:`mmcroc.training.start` adds the hook
    to every run.
    """

    # After checkpoints (90), before the validation that BeforeAfterHook (100) begins with.
    priority = 95

    def __init__(self) -> None:
        self.told = self.inside = False
        self._before: Any = None

    def before_train(self, runner: Runner) -> None:
        """Listen to SIGTERM. Only a program's main thread can."""
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._tell)

    def _tell(self, number: int, frame: FrameType | None) -> None:
        """Remember that the run is to end."""
        self.told = True
        if hasattr(signal, 'SIGCHLD'):
            # Data workers get the signal too where a group of processes does, and torch would raise
            # at once, in the middle of a step.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        """Note that the model is about to change."""
        self.inside = True

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        """End the run after an iteration."""
        self.inside = False
        if self.told and is_main_process():
            self.leave(runner, runner.iter + 1)

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None, outputs: Any = None
    ) -> None:
        """End the run in a validation, which the resumed run begins with."""
        if self.told and is_main_process():
            self.leave(runner, runner.iter)

    def after_train(self, runner: Runner) -> None:
        """Leave SIGTERM to what listened to it before."""
        self.restore()

    def restore(self) -> None:
        """Leave SIGTERM to what listened to it before, also where training failed."""
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
            self._before = None

    def leave_after_failure(self, runner: Runner, error: Exception) -> None:
        """End the run where it failed because SIGTERM ended other processes."""
        if not self.told or not isinstance(error, RuntimeError):
            return
        if not is_main_process():
            raise SystemExit(EXIT_CODE)  # the first one has left
        if 'DataLoader worker' in str(error) and not self.inside:
            self.leave(runner, runner.iter)

    def leave(self, runner: Runner, done: int) -> NoReturn:
        """Write the checkpoint after so many iterations, and end."""
        if done == 0:
            runner.logger.warning(f'SIGTERM before the first iteration: exit code {EXIT_CODE}')
            raise SystemExit(EXIT_CODE)
        runner.save_checkpoint(
            runner.work_dir,
            INTERRUPTED,
            meta=dict(epoch=runner.epoch, iter=done),
            by_epoch=False,
            backend_args=dict(backend=BACKEND),
        )
        path = os.path.join(runner.work_dir, INTERRUPTED)
        with atomic_file(Path(runner.work_dir, 'last_checkpoint')) as file:
            file.write(path.encode())
        runner.logger.warning(
            f'SIGTERM: {path} is written after iteration {done}; --resume goes on from it (exit '
            f'code {EXIT_CODE})'
        )
        raise SystemExit(EXIT_CODE)
