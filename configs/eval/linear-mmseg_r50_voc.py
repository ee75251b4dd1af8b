# linear-mmseg, ResNet-50 (stride 32), 1,449 validation images, 21 classes with background.
_base_ = 'linear-mmseg_vit-s_voc.py'

model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=32)),
    decode_head=dict(in_channels=2048, channels=2048),
)
