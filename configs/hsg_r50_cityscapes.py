# HSG, ResNet-50, on Cityscapes' 2,975 training images without labels: 8 GPUs x 4, 38,000 iterations
# at 448 px, from scratch, all losses.
# Region maps: python tools/prepare_oversegmentation.py data/cityscapes/leftImg8bit/train \
#     data/cityscapes/oversegmentation/train --threshold 0.05 --max-regions 1024
# Expect (paper, segment retrieval on val): mIoU 32.5, pixel accuracy 86.0; the authors' released
# weights: 32.4. Not yet reproduced by a run of ours.
_base_ = 'hsg_r50_coco_stage2.py'

load_from = None
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        data_root='data/cityscapes',
        folders=['leftImg8bit/train'],
        oversegmentation_folders=['oversegmentation/train'],
    ),
)
model = dict(
    head=dict(
        goodness_weight=0.2,
        centroid_weight=0.2,
        num_neighbours=4,
        neighbour_graph='image',
        max_segments=None,
    )
)
optim_wrapper = dict(
    optimizer=dict(lr=0.1),
    paramwise_cfg=dict(_delete_=True, every_bias=dict(lr_mult=2.0, decay_mult=0.0)),
)
train_cfg = dict(max_iters=38000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=100, by_epoch=False),
    dict(type='MultiStepLR', milestones=[12160, 21280, 28500], gamma=0.1, by_epoch=False),
]
default_hooks = dict(hierarchy_pictures=dict(interval=2000))
auto_scale_lr = dict(base_batch_size=32)
