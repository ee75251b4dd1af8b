# CrOC for tests of faults: 6 drawn scenes in batches of 2, 2 epochs of 3 iterations. What goes
# wrong is said by `custom_hooks.0`, of tests/support/faults.py.
_base_ = ['../../configs/croc_vit-t_scenes.py']

model = dict(
    backbone=dict(
        arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48),
        img_size=32,
    ),
    neck=dict(
        in_channels=24,
        hidden_channels=32,
        bottleneck_channels=8,
        num_prototypes=32,
        num_cluster_prototypes=16,
    ),
    head=dict(
        num_prototypes=32, num_cluster_prototypes=16, warmup_teacher_temperature=0.03,
        warmup_epochs=1,
    ),
    target_generator=dict(num_start_clusters=5, max_clusters=5),
    freeze_last_layer_epochs=1,
)  # fmt: skip
train_pipeline = [
    dict(type='mmcroc.TwoViews', size=32, view_transforms={{_base_.view_transforms}}),
    dict(type='mmcroc.PackTwoViews'),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(num_images=6, image_size=40, pipeline=train_pipeline),
)
train_cfg = dict(max_epochs=2, val_interval=100)
val_cfg = val_dataloader = val_evaluator = None
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=1, max_keep_ckpts=3),
    logger=dict(interval=1),
    token_pictures=None,
)
randomness = dict(seed=5)
custom_imports = dict(imports=['tests.support.faults'])
custom_hooks = [dict(type='Fault')]
