"""What happens between iterations: hooks, optimiser wrapper, schedules."""

from .hooks import (
    AtomicCheckpointHook,
    BeforeAfterHook,
    DeferredRuntimeInfoHook,
    ExactResumeHook,
    FitProbesHook,
    HierarchyPicturesHook,
    OptimStepSchedulerHook,
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
    'OptimStepSchedulerHook',
    'SelfDistillOptimWrapper',
    'ThroughputTimerHook',
    'TokenPicturesHook',
    'UnreadableImagesHook',
    'WarmupCosineLR',
    'WarmupCosineWeightDecay',
]
