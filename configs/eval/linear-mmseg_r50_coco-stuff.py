# linear-mmseg, ResNet-50 (stride 32), 5,000 validation images, 15 super-categories.
_base_ = 'linear-mmseg_vit-s_coco-stuff.py'

model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=32)),
    decode_head=dict(in_channels=2048, channels=2048),
)
