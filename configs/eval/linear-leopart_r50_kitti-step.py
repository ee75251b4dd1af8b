# linear-leopart, ResNet-50 (28x28 tokens), 2,981 validation frames, 19 classes.
_base_ = 'linear-leopart_vit-s_kitti-step.py'

model = dict(
    decode_head=dict(in_channels=2048, channels=2048),
)
