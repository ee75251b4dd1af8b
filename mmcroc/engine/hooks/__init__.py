"""Hooks."""

from .atomic_checkpoint_hook import AtomicCheckpointHook
from .before_after_hook import BeforeAfterHook
from .deferred_runtime_info_hook import DeferredRuntimeInfoHook
from .exact_resume_hook import ExactResumeHook
from .fit_probes_hook import FitProbesHook
from .hierarchy_pictures_hook import HierarchyPicturesHook
from .num_classes_check_hook import NumClassesCheckHook
from .optim_step_scheduler_hook import OptimStepSchedulerHook
from .throughput_timer_hook import ThroughputTimerHook
from .token_pictures_hook import TokenPicturesHook
from .unreadable_images_hook import UnreadableImagesHook

__all__ = [
    'AtomicCheckpointHook',
    'BeforeAfterHook',
    'DeferredRuntimeInfoHook',
    'ExactResumeHook',
    'FitProbesHook',
    'HierarchyPicturesHook',
    'NumClassesCheckHook',
    'OptimStepSchedulerHook',
    'ThroughputTimerHook',
    'TokenPicturesHook',
    'UnreadableImagesHook',
]
