"""What happens between iterations: hooks, optimiser wrapper, schedules."""

from .hooks import (
    DeferredRuntimeInfoHook,
    ExactResumeHook,
    MomentumTeacherHook,
    OptimStepSchedulerHook,
    SetEpochHook,
    ThroughputTimerHook,
    UnreadableImagesHook,
)
from .optim import (
    GroupedOptimWrapperConstructor,
    SelfDistillOptimWrapper,
    WarmupCosineLR,
    WarmupCosineWeightDecay,
)

__all__ = [
    'DeferredRuntimeInfoHook',
    'ExactResumeHook',
    'GroupedOptimWrapperConstructor',
    'MomentumTeacherHook',
    'OptimStepSchedulerHook',
    'SelfDistillOptimWrapper',
    'SetEpochHook',
    'ThroughputTimerHook',
    'UnreadableImagesHook',
    'WarmupCosineLR',
    'WarmupCosineWeightDecay',
]
