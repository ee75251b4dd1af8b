# HSG stage 1, ResNet-50, on COCO train2017 without labels: 118,287 images, 8 GPUs x 16, 350,000
# iterations at 224 px, from scratch. The contrast of regions across views alone; stage 2 goes on.
# Region maps: python tools/prepare_oversegmentation.py data/coco/train2017 \
#     data/coco/oversegmentation/train2017
# Expect nothing of it by itself; see hsg_r50_coco_stage2.py.
_base_ = [
    '_base_/models/hsg_r50.py',
    '_base_/datasets/hsg_two_views.py',
    '_base_/schedules/sgd_steps.py',
    '_base_/default_runtime_iters.py',
]
# One cluster: segments are the regions, at most 2 x 48 of an image; places to spare change nothing
# here, and a fixed number spares the GPU a wait in each step. An image with more stops the run.
model = dict(head=dict(num_groups=[], grid=(1, 1), kmeans_iterations=1, max_segments=256))
train_dataloader = dict(sampler=dict(type='mmcroc.EndlessEpochSampler'))
train_cfg = dict(max_iters=350000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=100, by_epoch=False),
    dict(type='MultiStepLR', milestones=[112000, 196000, 262500], gamma=0.1, by_epoch=False),
]
auto_scale_lr = dict(enable=False, base_batch_size=128)
