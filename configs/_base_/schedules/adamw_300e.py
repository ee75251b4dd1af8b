# AdamW for 300 epochs at a total batch of 256; the lr follows the batch linearly
# (5e-4 * batch / 256): scale it with --auto-scale-lr.
optim_wrapper = dict(
    type='mmcroc.SelfDistillOptimWrapper',
    constructor='mmcroc.GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=5e-4, betas=(0.9, 0.999), weight_decay=0.04, fused=True),
    # No decay for biases and other 1-d parameters; [CLS] and position embedding do decay.
    paramwise_cfg=dict(bias_decay_mult=0.0, norm_decay_mult=0.0, flat_decay_mult=0.0),
    max_tensor_norm=3.0,
    amp_dtype='auto',
)
auto_scale_lr = dict(enable=False, base_batch_size=256)

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=300)
param_scheduler = [
    dict(
        type='mmcroc.WarmupCosineLR',
        warmup=10,
        end_value=1e-6,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='mmcroc.WarmupCosineWeightDecay',
        end_value=0.4,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
