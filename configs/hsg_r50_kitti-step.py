# HSG, ResNet-50, on KITTI-STEP's 5,027 training images without labels: 8 GPUs x 6, 41,892
# iterations at 448 px, from scratch, all losses.
# Region maps: python tools/prepare_oversegmentation.py data/kitti_step/img_dir/train \
#     data/kitti_step/oversegmentation/train --threshold 0.05 --max-regions 1024
# Expect (paper, segment retrieval on val): mIoU 21.7, pixel accuracy 73.8. Not yet reproduced by a
# run of ours.
_base_ = 'hsg_r50_cityscapes.py'

train_dataloader = dict(
    batch_size=6,
    dataset=dict(data_root='data/kitti_step', folders=['img_dir/train']),
)
train_cfg = dict(max_iters=41892)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=100, by_epoch=False),
    dict(type='MultiStepLR', milestones=[13405, 23460, 31419], gamma=0.1, by_epoch=False),
]
auto_scale_lr = dict(base_batch_size=48)
