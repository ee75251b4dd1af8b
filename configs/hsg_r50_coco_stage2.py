# HSG stage 2, ResNet-50, on COCO train2017 without labels: 118,287 images, 8 GPUs x 6, 20,000
# iterations at 448 px, from stage 1's weights, all losses.
# Expect (paper, segment retrieval on VOC val): mIoU 41.9, pixel accuracy 85.7; the authors'
# released weights: 42.2 (43.7 with a stage 1 of 192 images). Not yet reproduced by a run of ours.
_base_ = [
    '_base_/models/hsg_r50.py',
    '_base_/datasets/hsg_two_views.py',
    '_base_/schedules/sgd_steps.py',
    '_base_/default_runtime_iters.py',
]
load_from = 'work_dirs/hsg_r50_coco_stage1/iter_350000.pth'

train_pipeline = [
    dict(
        type='mmcroc.TwoViewsWithRegions',
        size=448,
        scale=(0.5, 1.5),
        view_transforms=[{{_base_.view_transforms}}, {{_base_.view_transforms}}],
    ),
    dict(type='mmcroc.PackTwoViewsWithRegions'),
]
train_dataloader = dict(
    batch_size=6,
    sampler=dict(type='mmcroc.EndlessEpochSampler'),
    dataset=dict(pipeline=train_pipeline),
)
# 256 places for the segments of an image, as released: the balance counts the empty ones and batch
# norms see them, so the number is part of the loss; an image with more segments stops the run
# (None: as many as the batch needs).
model = dict(head=dict(num_neighbours=2, neighbour_graph='view', max_segments=256))
optim_wrapper = dict(
    optimizer=dict(lr=0.008),
    # Times the doubled rate of biases: 20 for those of the transformers.
    paramwise_cfg=dict(
        custom_keys={'head.levels': dict(lr_mult=10.0), 'neck.position': dict(lr_mult=10.0)}
    ),
)
# WORK_DIR/pictures: regions, segments and groups of four training images.
default_hooks = dict(
    hierarchy_pictures=dict(type='mmcroc.HierarchyPicturesHook', interval=1000, num_images=4)
)
auto_scale_lr = dict(enable=False, base_batch_size=48)
