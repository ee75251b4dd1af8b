# HSG's clustering transformers on the tokens of any frozen backbone, on any folder of images: a
# hierarchy on the backbone you have. One process x 8 images, 80 iterations at 112 px.
#   python tools/train.py configs/hsg_vit_frozen_folder.py --data-root IMAGES --backbone MODEL
# What to expect depends on images and backbone: docs/hsg.md, "A hierarchy on any backbone".
# No region maps are needed: segments are clusters of tokens. Maps are taken by
# train_dataloader.dataset.oversegmentation_folders.
_base_ = 'hsg_r50_folder.py'

model = dict(
    backbone=dict(_delete_=True, type='mmcroc.FrozenBackbone', model=None),  # --backbone
    # The tokens are the embedding, and know where they are: one position for all. out_channels=128
    # trains an embedding of two 1x1 convolutions before the transformers.
    neck=dict(in_channels=384, hidden_channels=None, out_channels=None, num_positions=1),
    head=dict(transformer=dict(channels=384)),
)
train_pipeline = [
    dict(
        type='mmcroc.TwoViewsWithRegions',
        size=112,
        scale=(0.25, 0.75),
        view_transforms=[{{_base_.view_transforms}}, {{_base_.view_transforms}}],
    ),
    dict(type='mmcroc.PackTwoViewsWithRegions'),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    dataset=dict(oversegmentation_folders=None, pipeline=train_pipeline),
)
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.01))
train_cfg = dict(max_iters=80)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=40, by_epoch=False),
    dict(type='CosineAnnealingLR', T_max=40, begin=40, by_epoch=False),
]
default_hooks = dict(
    checkpoint=dict(interval=40),
    logger=dict(interval=10),
    hierarchy_pictures=dict(interval=40),
)
auto_scale_lr = dict(base_batch_size=8)
