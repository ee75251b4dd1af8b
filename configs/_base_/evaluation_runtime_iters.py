# Runtime of evaluations that train for a number of iterations.
_base_ = 'evaluation_runtime.py'

default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=20000),
)
log_processor = dict(by_epoch=False)
