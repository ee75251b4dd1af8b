"""Optimiser wrapper, its constructor, parameter schedules."""

from .grouped_constructor import GroupedOptimWrapperConstructor
from .self_distill_optim_wrapper import SelfDistillOptimWrapper
from .warmup_cosine import WarmupCosineLR, WarmupCosineWeightDecay

__all__ = [
    'GroupedOptimWrapperConstructor',
    'SelfDistillOptimWrapper',
    'WarmupCosineLR',
    'WarmupCosineWeightDecay',
]
