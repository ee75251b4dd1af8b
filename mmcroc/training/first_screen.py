"""What a run says first: what it is, how long it takes, where it goes; the log has the rest."""

import logging
import re
import time
from typing import Any

from mmengine.device import get_device
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmcroc.registry import HOOKS

#: What MMEngine logs of every run as it starts, and of backends that its own hooks ask for.
BACKGROUND = re.compile(
    r'[\s-]*System environment:|Config:\n|Hooks will be executed|Distributed training is not used|'
    r'paramwise_options -- |Checkpoints will be saved to|"FileClient" will be|"HardDiskBackend" is'
)
#: Iterations after which the time left is known well enough, and how many of them warm up.
MEASURED, WARM_UP = 10, 2


def is_news(record: logging.LogRecord) -> bool:
    """Whether the screen shows what was logged; the log file holds it in any case."""
    return not BACKGROUND.match(record.getMessage())


class BriefRunner(Runner):
    """Runner of MMEngine whose config, environment and hooks go to the log file alone."""

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger, and filter what it shows on the screen."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(is_news)
        return logger


@HOOKS.register_module()
class FirstScreenHook(Hook):
    """Hook that says what a run is before it starts, and soon after how long it takes."""

    priority = 'HIGH'

    def before_train(self, runner: Runner) -> None:
        """Log model, data, length and place of a training."""
        loop: Any = runner.train_loop
        length = f'{runner.max_iters:,} iterations'
        if 'max_epochs' in runner.cfg.train_cfg:
            length = f'{runner.max_epochs} epochs of {len(loop.dataloader):,} iterations'
        if runner.iter:
            length += f', {runner.iter:,} of them done'
        optimizer: Any = getattr(runner.optim_wrapper, 'optimizer', None)
        if optimizer is not None:
            rate = max(group.get('initial_lr', group['lr']) for group in optimizer.param_groups)
            length += f'; {type(optimizer).__name__}, learning rate {rate:g}'
        self._log(runner, loop.dataloader, length=length, weights=runner.cfg.get('load_from'))
        self.began, self.first = 0.0, runner.iter

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        """Log the time left, once."""
        done = runner.iter + 1 - self.first
        if done == WARM_UP:
            self.began = time.perf_counter()
        elif done == MEASURED and runner.max_iters - runner.iter > MEASURED:
            seconds = (time.perf_counter() - self.began) / (MEASURED - WARM_UP)
            left = seconds * (runner.max_iters - runner.iter - 1)
            runner.logger.info(
                f'{seconds:.2g} s an iteration: about {_duration(left)} to go, without evaluations'
            )

    def before_test(self, runner: Runner) -> None:
        """Log model, data and place of a test."""
        self._log(runner, runner.test_loop.dataloader)

    def _log(self, runner: Runner, loader: Any, **more: str | None) -> None:
        """Log what a run is, a line for each thing."""
        lines = dict(
            model=describe_model(runner.model),
            data=describe_data(loader),
            **more,
            device=f'{get_device()}, {get_world_size()} process(es)',
            folder=f'{runner.work_dir} (log file: {runner.timestamp}/{runner.timestamp}.log)',
        )
        text = ''.join(f'\n  {name:<9}{line}' for name, line in lines.items() if line)
        runner.logger.info(f'{runner.experiment_name.removesuffix("_" + runner.timestamp)}{text}')


def describe_model(model: Any) -> str:
    """Classes of a model and its backbone, and their number of parameters, in words."""
    model = model.module if is_model_wrapper(model) else model
    backbone = getattr(model, 'backbone', None)
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    trained = sum(size for size, is_trained in sizes if is_trained)
    total = sum(size for size, _ in sizes)
    inside = '' if backbone is None else f' of a {type(backbone).__name__}'
    return (
        f'{type(model).__name__}{inside}, {total / 1e6:.1f} M weights, {trained / 1e6:.1f} trained'
    )


def describe_data(loader: Any) -> str:
    """Class, folder and number of images of a loader's data set, and how they are taken."""
    dataset = loader.dataset
    root = getattr(dataset, 'data_root', None)
    batch = (loader.batch_size or 1) * get_world_size()
    return (
        f'{type(dataset).__name__}{f" of {root}" if root else ""}, {len(dataset):,} images, '
        f'{batch} an iteration, read by {loader.num_workers} process(es)'
    )


def _duration(seconds: float) -> str:
    """Time in words."""
    for unit, size in (('h', 3600), ('min', 60)):
        if seconds >= 2 * size:
            return f'{seconds / size:.1f} {unit}'
    return f'{seconds:.0f} s'
