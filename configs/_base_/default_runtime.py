# Runtime of every pretraining: MMPretrain's, with logging that does not wait for the GPU, schedules
# that count optimiser steps, checkpoints that are whole or absent, and resumes that are exact.
default_scope = 'mmpretrain'

default_hooks = dict(
    runtime_info=dict(type='mmcroc.DeferredRuntimeInfoHook'),
    timer=dict(type='mmcroc.ThroughputTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='mmcroc.OptimStepSchedulerHook'),
    checkpoint=dict(type='mmcroc.AtomicCheckpointHook', interval=10, max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    exact_resume=dict(type='mmcroc.ExactResumeHook'),
    # Both do nothing without a validation, such as _base_/probes brings.
    fit_probes=dict(type='mmcroc.FitProbesHook'),
    before_after=dict(type='mmcroc.BeforeAfterHook'),
    unreadable_images=dict(type='mmcroc.UnreadableImagesHook', max_unreadable=10),
)

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

visualizer = dict(type='mmcroc.DeferredVisualizer', vis_backends=[dict(type='LocalVisBackend')])
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=None, deterministic=False)
