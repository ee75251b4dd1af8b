# linear-mmseg, ResNet-50 (stride 32), 500 validation images, 19 classes.
_base_ = 'linear-mmseg_vit-s_cityscapes.py'

model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=32)),
    decode_head=dict(in_channels=2048, channels=2048),
)
