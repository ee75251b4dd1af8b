# Runtime of evaluations: MMSegmentation's.
default_scope = 'mmseg'
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='mmcroc.EvaluationLoggerHook', interval=50, log_metric_by_epoch=True),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # A head's best epoch by its first metric is kept beside the last.
    checkpoint=dict(
        type='mmcroc.AtomicCheckpointHook',
        interval=5,
        max_keep_ckpts=1,
        save_best='auto',
        rule='greater',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    fit_probes=dict(type='mmcroc.FitProbesHook'),
)
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='mmseg.SegLocalVisualizer', vis_backends=vis_backends, name='visualizer')
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
