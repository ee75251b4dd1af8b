"""Logged values that do not wait for the device in every iteration, and images per second."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import IterTimerHook, LoggerHook, RuntimeInfoHook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner, find_latest_checkpoint

from mmcroc.registry import HOOKS


class NonFiniteLossError(FloatingPointError):
    """A loss or a weight became NaN or infinite."""


@HOOKS.register_module()
class DeferredRuntimeInfoHook(RuntimeInfoHook):
    """Runtime information of MMEngine; losses leave the device once per logging interval.

    MMEngine copies every logged value to the host in every iteration, and each copy waits for the
    GPU. Here they are kept on the device until the logger prints (or an epoch ends, or a
    checkpoint is written), then moved in one copy; no value is lost. On a CPU, where waiting
    costs nothing, that is every iteration. Also logs the weight decay, what the optimiser wrapper
    measured (``log_vars``), and, only when the logger prints, what a model's ``diagnostics()``
    computes.

    A NaN or infinite loss stops the run, naming the first iteration that had one, its values and
    the last checkpoint, which is always from before it. So does a parameter that is not finite when
    a checkpoint is to be written: a gradient may be NaN where the loss was not.
    """

    def before_train(self, runner: Runner) -> None:
        """Take the logger's interval."""
        super().before_train(runner)
        #: (iteration, {name: scalar tensor or number})
        self.pending: list[tuple[int, dict[str, Any]]] = []
        loggers = [hook for hook in runner.hooks if isinstance(hook, LoggerHook)]
        self.interval = loggers[0].interval if loggers else 1

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        """Log the weight decay beside the learning rate."""
        super().before_train_iter(runner, batch_idx, data_batch)
        decays = [group.get('weight_decay', 0) for group in runner.optim_wrapper.param_groups]
        runner.message_hub.update_scalar('train/weight_decay', max(decays))

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        """Keep the values of the iteration; move them where the logger prints."""
        values = dict(outputs or {}, **getattr(runner.optim_wrapper, 'log_vars', {}))
        prints = self._logger_prints(runner, batch_idx)
        values = {k: v.detach() if torch.is_tensor(v) else v for k, v in values.items()}
        self.pending.append((runner.iter, values))
        if not self.waits(values.values()) or prints:
            self.flush(runner)
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if prints and hasattr(model, 'diagnostics'):  # of finite losses: else it may fail
            measured = model.diagnostics()
            for name, value in zip(measured, _to_host([*measured.values()]), strict=True):
                runner.message_hub.update_scalar(f'train/{name}', value)

    def after_train_epoch(self, runner: Runner) -> None:
        """Move what is pending before the epoch's log is written."""
        self.flush(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Move what is pending: the checkpoint holds it, and none is written after a NaN."""
        if runner.message_hub.get_info('loop_stage', None) == 'train':
            self.flush(runner)
            checkpoint['message_hub'] = runner.message_hub.state_dict()
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        parameters = dict(model.named_parameters())
        for name, value in checkpoint['state_dict'].items():
            if name in parameters and not value.isfinite().all():
                raise NonFiniteLossError(
                    f'{name} is not finite after iteration {checkpoint["meta"]["iter"]}: a '
                    f'gradient was NaN or infinite. {_cure(runner)}'
                )

    def flush(self, runner: Runner) -> None:
        """Move all pending values to the host and into the message hub.

        Raises:
            NonFiniteLossError: One of the losses is NaN or infinite.
        """
        tensors = [v for _, values in self.pending for v in values.values() if torch.is_tensor(v)]
        numbers = iter(_to_host(tensors))
        for iteration, values in self.pending:
            values = {k: next(numbers) if torch.is_tensor(v) else v for k, v in values.items()}
            self._check(runner, iteration, values)
            for name, value in values.items():
                runner.message_hub.update_scalar(f'train/{name}', value)
        self.pending = []

    @staticmethod
    def waits(values: Iterable) -> bool:
        """Whether reading these values would wait for a device."""
        return any(torch.is_tensor(v) and v.device.type != 'cpu' for v in values)

    def _logger_prints(self, runner: Runner, batch_idx: int) -> bool:
        """Whether the logger prints after this iteration."""
        return self.every_n_inner_iters(batch_idx, self.interval) or self.every_n_train_iters(
            runner, self.interval
        )

    def _check(self, runner: Runner, iteration: int, values: Mapping[str, float]) -> None:
        """Raise if a loss is not finite."""
        losses = {k: v for k, v in values.items() if 'loss' in k}
        if all(v == v and abs(v) != float('inf') for v in losses.values()):
            return
        self.pending = []
        shown = ', '.join(f'{k}={v:.6g}' for k, v in values.items())
        raise NonFiniteLossError(
            f'the loss is not finite at iteration {iteration + 1}: {shown}. {_cure(runner)}'
        )


def _cure(runner: Runner) -> str:
    """What helps where a number is not finite, in words."""
    last = find_latest_checkpoint(runner.work_dir)
    where = (
        f'The last good checkpoint is {last}'
        if last and Path(last).exists()
        else f'No checkpoint had been written to {runner.work_dir} yet'
    )
    return (
        f'{where}. Lower optim_wrapper.optimizer.lr, or set optim_wrapper.amp_dtype="float32" to '
        'see whether precision is the cause.'
    )


def _to_host(scalars: list[torch.Tensor]) -> list[float]:
    """Values of scalar tensors; those on a device come in one copy."""
    on_device = [s for s in scalars if s.device.type != 'cpu']
    moved = iter(torch.stack([s.float() for s in on_device]).tolist() if on_device else [])
    return [next(moved) if s.device.type != 'cpu' else s.item() for s in scalars]


@HOOKS.register_module()
class ThroughputTimerHook(IterTimerHook):
    """Timer of MMEngine that also logs ``images_per_second``.

    It counts source images over all ranks, data loading included.
    """

    def _after_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | Sequence | None = None,
        mode: str = 'train',
    ) -> None:
        super()._after_iter(runner, batch_idx, data_batch, outputs, mode)
        if mode == 'train' and isinstance(data_batch, dict):
            images = len(data_batch['data_samples']) * get_world_size()
            seconds = runner.message_hub.get_scalar('train/time').current()
            runner.message_hub.update_scalar('train/images_per_second', images / seconds)
