# linear-leopart, ResNet-50 (28x28 tokens), 5,000 validation images, 12 super-categories.
_base_ = 'linear-leopart_vit-s_coco-things.py'

model = dict(
    decode_head=dict(in_channels=2048, channels=2048),
)
