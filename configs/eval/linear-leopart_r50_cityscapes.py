# linear-leopart, ResNet-50 (28x28 tokens), 500 validation images, 19 classes.
_base_ = 'linear-leopart_vit-s_cityscapes.py'

model = dict(
    decode_head=dict(in_channels=2048, channels=2048),
)
