"""MMEngine parameter schedulers with the closed-form warm-up and cosine of the releases."""

import math
from typing import Any

from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler.param_scheduler import INF, _ParamScheduler
from torch.optim import Optimizer

from mmcroc.registry import PARAM_SCHEDULERS


def warmup_cosine(step: int, start: float, end: float, num_steps: int, warmup: int = 0) -> float:
    """A linear rise from 0, then half a cosine from ``start`` to ``end``.

    ``linspace(0, start, warmup)``, then ``end + ½ (start - end) (1 + cos(π i / (T - W)))`` for
    i = 0 … T - W - 1: step 0 of a warm-up gives 0, ``start`` occurs twice, ``end`` is never quite
    reached.

    Args:
        step: Number of the optimiser step, from 0.
        start: Value after the warm-up.
        end: Value that the cosine heads for.
        num_steps: T, number of all steps.
        warmup: W, number of steps of the warm-up.

    Returns:
        Value of this step.
    """
    if step < warmup:
        return start * step / (warmup - 1) if warmup > 1 else 0.0
    progress = (step - warmup) / max(num_steps - warmup, 1)
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * min(progress, 1.0)))


def _require_room(kind: str, warmup: int, end: int, unit: str, setting: str) -> None:
    """Refuse, by a ValueError, a warm-up that is as long as the schedule."""
    if not 0 <= warmup < end:
        raise ValueError(
            f"param_scheduler of type='mmcroc.{kind}': warmup={warmup} {unit} must be shorter than "
            f'the schedule of {end} {unit} (its end, by default {setting}); for a short run set '
            'param_scheduler.0.warmup (0 is the first entry) to less, 0 for none'
        )


class WarmupCosineParamScheduler(_ParamScheduler):
    """Linear warm-up, then a cosine: :func:`warmup_cosine`.

    MMEngine's ``LinearLR`` and ``CosineAnnealingLR`` are recursive and place their ends otherwise.
    A parameter group whose value is 0 to begin with (no weight decay) stays at 0. Under gradient
    accumulation it counts optimiser steps, with any wrapper and any ``ParamSchedulerHook``.

    Args:
        optimizer: Optimiser or wrapper.
        param_name: Name of the scheduled setting of parameter groups.
        end_value: Value that the cosine heads for.
        warmup: Length of the warm-up, in epochs or steps like ``end``.
        end: Length of the whole schedule.
        **kwargs: Further settings of MMEngine's parameter schedulers.

    Raises:
        ValueError: ``end`` is missing, or leaves no room beside the warm-up.
    """

    def __init__(
        self,
        optimizer: Optimizer | OptimWrapper,
        param_name: str,
        end_value: float,
        warmup: int = 0,
        end: int = INF,
        **kwargs: Any,
    ):
        if end == INF:
            raise ValueError(f'{type(self).__name__}: set `end`, the length of the schedule')
        _require_room(type(self).__name__, warmup, end, 'iterations', 'train_cfg.max_iters')
        self.end_value = end_value
        self.warmup = warmup
        super().__init__(optimizer, param_name, end=end, **kwargs)

    @classmethod
    def build_iter_from_epoch(
        cls,
        *args: Any,
        end: int,
        epoch_length: int,
        warmup: int = 0,
        begin: int = 0,
        by_epoch: bool = True,
        **kwargs: Any,
    ) -> 'WarmupCosineParamScheduler':
        """Build with lengths in epochs converted to optimiser steps.

        Under gradient accumulation an optimiser step takes several iterations, the last one what
        is left of them.

        Raises:
            ValueError: Lengths are not in epochs, or an epoch has no iteration.
        """
        if not by_epoch:
            raise ValueError('by_epoch must be True to convert lengths from epochs to steps')
        if epoch_length < 1:
            raise ValueError(
                'the training data set has fewer images than train_dataloader.batch_size, and '
                'drop_last leaves none: lower train_dataloader.batch_size'
            )
        _require_room(cls.__name__, warmup, end, 'epochs', 'train_cfg.max_epochs')
        optimizer = kwargs.get('optimizer', args[0] if args else None)
        iterations_per_step = getattr(optimizer, '_accumulative_counts', 1)
        return cls(  # type: ignore[misc]
            *args,
            end=-(-int(end * epoch_length) // iterations_per_step),
            warmup=-(-int(warmup * epoch_length) // iterations_per_step),
            begin=begin,
            by_epoch=False,
            **kwargs,
        )

    def step(self) -> None:
        """Go on by one optimiser step; an iteration that only accumulated is none."""
        if not isinstance(self.optimizer, OptimWrapper) or self.optimizer.should_update():
            super().step()

    def _get_value(self) -> list[float]:
        """Values of the parameter groups at this step."""
        return [
            base
            and warmup_cosine(self.last_step, base, self.end_value, int(self.end), int(self.warmup))
            for base in self.base_values
        ]


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(WarmupCosineParamScheduler):
    """Schedule of the learning rate: linear warm-up, then a cosine.

    Args:
        optimizer: Optimiser or wrapper.
        end_value: Final learning rate, absolute.
        **kwargs: Further settings of :class:`WarmupCosineParamScheduler`.
    """

    def __init__(self, optimizer: Optimizer | OptimWrapper, end_value: float = 1e-6, **kwargs: Any):
        super().__init__(optimizer, 'lr', end_value, **kwargs)


@PARAM_SCHEDULERS.register_module()
class WarmupCosineWeightDecay(WarmupCosineParamScheduler):
    """Schedule of the weight decay: linear warm-up, then a cosine.

    Args:
        optimizer: Optimiser or wrapper.
        end_value: Final weight decay.
        **kwargs: Further settings of :class:`WarmupCosineParamScheduler`.
    """

    def __init__(self, optimizer: Optimizer | OptimWrapper, end_value: float = 0.4, **kwargs: Any):
        super().__init__(optimizer, 'weight_decay', end_value, **kwargs)
