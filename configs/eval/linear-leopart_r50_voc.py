# linear-leopart, ResNet-50 (28x28 tokens), 1,449 validation images, 21 classes with background.
_base_ = 'linear-leopart_vit-s_voc.py'

model = dict(
    decode_head=dict(in_channels=2048, channels=2048),
)
