"""Metrics that learn from labelled training images before they score, and share their passes."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mmcroc.evaluation.token_metric import PixelIoU, TokenMetric
from mmcroc.evaluation.training_images import TrainingImages
from mmcroc.numerics.distributed import all_reduce_sum, get_rank, get_world_size
from mmcroc.registry import HOOKS


class FittedMetric(TokenMetric):
    """Base of the metrics that learn from labelled training images before they score.

    ``mmcroc.FitProbesHook`` calls :func:`fit_together` with the run's metrics before every
    evaluation.

    Attributes:
        passes: The passes over training images that the metric learns from.
        num_train_images: Number of training images, over all ranks, once the metric is fitted.
    """

    passes: Sequence[TrainingImages] = ()
    num_train_images = 0

    def begin_fit(self) -> None:
        """Forget what was learnt before."""
        raise NotImplementedError

    def learn(self, turn: int, number: int, name: str, sample: dict) -> None:
        """Learn from one training image of this rank.

        Args:
            turn: Index of the pass in :attr:`passes`.
            number: Place of the image in the training set.
            name: Name of the image in messages.
            sample: Data sample with ``tokens`` and ``gt_sem_seg``.
        """
        raise NotImplementedError

    def end_fit(self) -> None:
        """Make a classifier of what was learnt. Every rank must call."""
        raise NotImplementedError

    def fit(self, model: nn.Module) -> None:
        """Learn from the tokens that ``model.val_step`` hands out. Every rank must call.

        Raises:
            ValueError: A rank got no training image, or as :meth:`process`.
        """
        fit_together([self], model)


class FittedIoU(FittedMetric, PixelIoU):
    """Base of the fitted metrics that keep of an image how its pixels were classified."""


def fit_together(metrics: Sequence[Any], model: nn.Module) -> None:
    """Fit metrics; those that learn from the same images share the model's forward passes.

    Args:
        metrics: Metrics, :class:`FittedMetric` ones or others, with a ``fit(model)`` or without.
        model: The model that is evaluated.

    Raises:
        ValueError: A rank got no training image, or as :meth:`TokenMetric.process`.
    """
    fitted = [metric for metric in metrics if isinstance(metric, FittedMetric)]
    for metric in metrics:
        if metric not in fitted and callable(getattr(metric, 'fit', None)):
            metric.fit(model)
    learn_together(fitted, model)
    for metric in fitted:
        metric.end_fit()


def learn_together(metrics: Sequence[FittedMetric], model: nn.Module) -> None:
    """Show metrics their training images; a pass that several ask for is made once.

    Raises:
        ValueError: A rank got no training image, or as :meth:`TokenMetric.process`.
    """
    for metric in metrics:
        metric.begin_fit()
    waiting = [(metric, turn) for metric in metrics for turn in range(len(metric.passes))]
    while waiting:
        images = waiting[0][0].passes[waiting[0][1]]
        sharing = [(metric, turn) for metric, turn in waiting if metric.passes[turn] == images]
        waiting = [each for each in waiting if each not in sharing]
        names = ', '.join(dict.fromkeys(metric.protocol for metric, _ in sharing))
        count = torch.tensor(0)
        for number, name, sample in images.through(model, f'{names}, training images'):
            count += 1
            for metric, turn in sharing:
                metric.learn(turn, number, name, sample)
        if not count:
            raise ValueError(
                f'{names}: rank {get_rank()} got no training image; give at least '
                f'{get_world_size()}'
            )
        for metric, _ in sharing:
            metric.num_train_images = int(all_reduce_sum(count.clone()))


@HOOKS.register_module()
class FitProbesHook(Hook):
    """Fit the metrics before each validation and before the test, with the model as it then is."""

    priority = 'LOW'

    def before_val_epoch(self, runner: Runner) -> None:
        """Fit the metrics of the validation."""
        fit_together(runner.val_loop.evaluator.metrics, runner.model)

    def before_test_epoch(self, runner: Runner) -> None:
        """Fit the metrics of the test."""
        fit_together(runner.test_loop.evaluator.metrics, runner.model)
