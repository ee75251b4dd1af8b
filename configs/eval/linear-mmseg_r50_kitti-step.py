# linear-mmseg, ResNet-50 (stride 32), 2,981 validation frames, 19 classes.
_base_ = 'linear-mmseg_vit-s_kitti-step.py'

model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=32)),
    decode_head=dict(in_channels=2048, channels=2048),
)
