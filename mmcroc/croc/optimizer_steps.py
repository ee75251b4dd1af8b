"""What a model does around its optimiser's steps, whoever runs the training.

The step belongs to the runner, its hooks and the optimiser wrapper, all of which a user may
replace. torch tells of every optimiser's step by itself, so a model that acts there needs none of
them: not under distributed data parallel (which does not call a model's ``train_step``), not under
gradient accumulation, nor where loss scaling leaves a step out.
"""

import functools
import weakref
from typing import Any, NamedTuple, Protocol

import torch
from mmengine.logging import MessageHub
from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)


class StepsWithOptimizer(Protocol):
    """A model that acts around the steps of the optimiser that trains it."""

    def learning_parameters(self) -> list[nn.Parameter]:
        """Parameters that the optimiser must hold."""

    def before_optimizer_step(self) -> None:
        """Act on gradients, or refuse the step."""

    def after_optimizer_step(self) -> None:
        """Act on the parameters that the step has changed."""


class TrainingProgress(NamedTuple):
    """How far training has come.

    Attributes:
        iteration: Number of iterations done.
        max_iters: Number of iterations of the whole training.
        epoch: Number of epochs done.
        max_epochs: Number of epochs of the whole training, 1 if it is counted in iterations.
    """

    iteration: int
    max_iters: int
    epoch: int
    max_epochs: int


def training_progress() -> TrainingProgress | None:
    """Progress that the running training's ``RuntimeInfoHook`` has told; None without one."""
    hub = MessageHub.get_current_instance()
    if hub.get_info('loop_stage') != 'train':
        return None
    told = [hub.get_info(name) for name in ('iter', 'max_iters', 'epoch', 'max_epochs')]
    return None if None in told else TrainingProgress(*told)


#: Models that have computed a loss since their last step.
_waiting: weakref.WeakSet[StepsWithOptimizer] = weakref.WeakSet()


def act_around_next_step(model: StepsWithOptimizer) -> None:
    """Have a model called before and after the next step of the optimiser that trains it.

    A model asks for it with every training loss. Nothing is stored in the model: it can be copied
    and pickled, and a copy acts for itself.

    Args:
        model: Model to call; asking again before the step changes nothing.
    """
    _hear_of_all_steps()
    _waiting.add(model)


@functools.cache
def _hear_of_all_steps() -> None:
    """Register with torch, once in a process."""
    register_optimizer_step_pre_hook(_before_step)
    register_optimizer_step_post_hook(_after_step)


@torch.compiler.disable
def _before_step(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    """Tell the models that an optimiser trains that it is about to step."""
    models = _trained_by(optimizer)
    if models and hasattr(optimizer, 'found_inf'):  # it would leave the step out by itself
        raise ValueError(
            f'{type(models[0]).__name__}: a fused {type(optimizer).__name__} under float16 does '
            'not tell which steps it leaves out; set optim_wrapper.optimizer.fused=False, or train '
            "with type='mmcroc.SelfDistillOptimWrapper'"
        )
    for model in models:
        model.before_optimizer_step()


@torch.compiler.disable
def _after_step(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    """Tell the models that an optimiser trains that it has stepped."""
    for model in _trained_by(optimizer):
        model.after_optimizer_step()
        _waiting.discard(model)


def _trained_by(optimizer: Optimizer) -> list[StepsWithOptimizer]:
    """Waiting models whose parameters an optimiser holds.

    Raises:
        ValueError: It holds a part of a model's parameters.
    """
    held = {id(p) for group in optimizer.param_groups for p in group['params']}
    found = []
    for model in _waiting:
        inside = [id(p) in held for p in model.learning_parameters()]
        if any(inside) and not all(inside):
            raise ValueError(
                f'{type(model).__name__}: a {type(optimizer).__name__} holds {sum(inside)} of its '
                f'{len(inside)} trainable parameters, so it is not known when all of them have '
                'stepped; train with one optimiser that holds all (set requires_grad=False on what '
                'is not to learn; ZeroRedundancyOptimizer and sharded models are not supported)'
            )
        if any(inside):
            found.append(model)
    return found
