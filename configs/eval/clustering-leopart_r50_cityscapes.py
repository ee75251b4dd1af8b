# clustering-leopart, ResNet-50 (28x28 tokens), 500 validation images, 19 classes.
_base_ = 'clustering-leopart_vit-s_cityscapes.py'
