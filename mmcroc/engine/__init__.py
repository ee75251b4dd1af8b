"""What happens between iterations: hooks, optimiser wrapper, schedules."""

from .hooks import (
    AtomicCheckpointHook,
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
    'AtomicCheckpointHook',
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
