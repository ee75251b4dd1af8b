# retrieval-hsg, ResNet-50 (16x16 features), 1,449 validation images, 21 classes with background;
# the memory: 10,582 training images.
_base_ = 'retrieval-hsg_vit-s_voc.py'

model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=32)),
)
