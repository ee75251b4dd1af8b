# HSG, ResNet-50, on the 400 training and test images of BSDS500 without labels, for small real
# experiments (val stays apart): one GPU x 8, 4,000 iterations at 224 px, from scratch, all losses.
# Region maps come with the data set's ultrametric contour maps (gpb_owt_ucm), or from
# tools/prepare_oversegmentation.py. No figure is published for it.
_base_ = 'hsg_r50_cityscapes.py'

train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    dataset=dict(
        data_root='data/bsds500',
        folders=['images/train', 'images/test'],
        oversegmentation_folders=['gpb_owt_ucm_0.25_48/train', 'gpb_owt_ucm_0.25_48/test'],
        pipeline=[
            dict(
                type='mmcroc.TwoViewsWithRegions',
                size=224,
                scale=(0.5, 1.5),
                view_transforms=[{{_base_.view_transforms}}, {{_base_.view_transforms}}],
            ),
            dict(type='mmcroc.PackTwoViewsWithRegions'),
        ],
    ),
)
optim_wrapper = dict(optimizer=dict(lr=0.025))
train_cfg = dict(max_iters=4000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=100, by_epoch=False),
    dict(type='MultiStepLR', milestones=[1280, 2240, 3000], gamma=0.1, by_epoch=False),
]
default_hooks = dict(
    checkpoint=dict(interval=500),
    logger=dict(interval=20),
    hierarchy_pictures=dict(interval=500),
)
auto_scale_lr = dict(base_batch_size=8)
