"""What happens between iterations: hooks, optimiser wrapper, schedules."""

from .hooks import (
    AtomicCheckpointHook,
    BeforeAfterHook,
    DeferredRuntimeInfoHook,
    ExactResumeHook,
    FitProbesHook,
    HierarchyPicturesHook,
    MomentumTeacherHook,
    OptimStepSchedulerHook,
    SetEpochHook,
    ThroughputTimerHook,
    TokenPicturesHook,
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
    'BeforeAfterHook',
    'DeferredRuntimeInfoHook',
    'ExactResumeHook',
    'FitProbesHook',
    'GroupedOptimWrapperConstructor',
    'HierarchyPicturesHook',
    'MomentumTeacherHook',
    'OptimStepSchedulerHook',
    'SelfDistillOptimWrapper',
    'SetEpochHook',
    'ThroughputTimerHook',
    'TokenPicturesHook',
    'UnreadableImagesHook',
    'WarmupCosineLR',
    'WarmupCosineWeightDecay',
]
