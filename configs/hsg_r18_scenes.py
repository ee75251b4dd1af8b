# HSG, a thin ResNet-18, on scenes that the data set draws itself: the demo, minutes on 2 CPU cores,
# nothing to download. 800 images of 96 px, regions by a watershed, one process x 8, 300 iterations,
# 3 minutes. Expect (one run of ours, scenes not trained on, percent):
#   loss 4.2 -> 3.6, linear-ridge-probe mIoU 10.3 -> 17.1, clustering-probe mIoU 9.0 -> 11.6
_base_ = ['hsg_r50_cityscapes.py', '_base_/probes/scenes.py']

model = dict(
    backbone=dict(depth=18, base_channels=32, strides=(1, 2, 1, 1), multi_grid=(1, 4)),
    neck=dict(in_channels=256, hidden_channels=256, out_channels=64),
    head=dict(transformer=dict(channels=64), kmeans_iterations=10),
)
train_pipeline = [
    dict(type='mmcroc.WatershedOversegmentation', grid=(6, 6)),
    dict(
        type='mmcroc.TwoViewsWithRegions',
        size=96,
        scale=(0.75, 1.5),
        view_transforms=[{{_base_.view_transforms}}, {{_base_.view_transforms}}],
    ),
    dict(type='mmcroc.PackTwoViewsWithRegions'),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    dataset=dict(
        _delete_=True,
        type='mmcroc.SyntheticScenes',
        num_images=800,
        image_size=96,
        pipeline=train_pipeline,
    ),
)
optim_wrapper = dict(optimizer=dict(lr=0.05))
# The probe runs before training and at its end.
train_cfg = dict(max_iters=300, val_interval=300)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=20, by_epoch=False),
    dict(type='MultiStepLR', milestones=[96, 168, 225], gamma=0.1, by_epoch=False),
]
default_hooks = dict(
    checkpoint=dict(interval=150),
    logger=dict(interval=20),
    hierarchy_pictures=dict(interval=150),  # before, in the middle, at the end
)
auto_scale_lr = dict(base_batch_size=8)
