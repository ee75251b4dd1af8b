# SGD counted in iterations: warm-up from a tenth over 100, a tenth of the rate at 32, 56 and 75 %
# of the run (20,000 here). No decay on biases, whose rate is doubled.
optim_wrapper = dict(
    type='mmcroc.SelfDistillOptimWrapper',  # float32 unless --amp
    constructor='mmcroc.GroupedOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(every_bias=dict(lr_mult=2.0, decay_mult=0.0)),
    amp_dtype='float32',
)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=20000, val_interval=20000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=100, by_epoch=False),
    dict(type='MultiStepLR', milestones=[6400, 11200, 15000], gamma=0.1, by_epoch=False),
]
