# Post-training: a backbone that is good already gets better dense features from unlabelled images.
# The recipe, for one GPU x 64 images:
#   - fresh heads learn alone for the first tenth of the steps, while the backbone waits;
#   - then the last 3 blocks and the final norm learn too, at a tenth of the heads' rate (1e-5 and
#     1e-4, both by a cosine to 0); the blocks before them stay as they are, in student and teacher,
#     and run once for both;
#   - the teacher's backbone follows slowly (0.9995 -> 1), its heads faster (0.998 -> 1), but not so
#     fast that targets become uniform;
#   - 4,096 prototypes a level: the 65,536 of pretraining need far more steps.
_base_ = ['../models/croc_vit-s.py', '../datasets/two_views.py', '../default_runtime.py']

model = dict(
    backbone=dict(drop_path_rate=0.0),
    neck=dict(num_prototypes=4096, num_cluster_prototypes=4096),
    head=dict(num_prototypes=4096, num_cluster_prototypes=4096),
    teacher_momentum=0.9995,
    teacher_neck_momentum=0.998,
    freeze_last_layer_epochs=0,
    freeze_backbone_share=0.1,
    trained_blocks=3,
)

train_dataloader = dict(batch_size=64)
optim_wrapper = dict(
    type='mmcroc.SelfDistillOptimWrapper',
    constructor='mmcroc.GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.04),
    # Layer decay of the backbone's rates: layer_decay_rate=0.75.
    paramwise_cfg=dict(
        bias_decay_mult=0.0, norm_decay_mult=0.0, flat_decay_mult=0.0, backbone_lr_mult=0.1
    ),
    max_tensor_norm=3.0,
    amp_dtype='auto',
)
auto_scale_lr = dict(enable=False, base_batch_size=64)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=25, val_interval=5)
param_scheduler = [
    dict(type='mmcroc.WarmupCosineLR', end_value=0.0, by_epoch=True, convert_to_iter_based=True),
]
# Before training and every 5 epochs: work_dir/pictures, and measures that need no labels. A run
# that loses more than the allowed share warns, and stops with before_after.stop=True; the best
# checkpoint, which may be the start, is kept.
default_hooks = dict(
    checkpoint=dict(interval=5, save_best='views/effective_rank', rule='greater'),
    token_pictures=dict(type='mmcroc.TokenPicturesHook', interval=5),
    view_measures=dict(type='mmcroc.ViewMeasuresHook'),
    before_after=dict(allowed_loss={'views/effective_rank': 0.3}),
)
