# clustering-leopart, ResNet-50 (14x14 tokens), 500 validation images, 19 classes.
_base_ = 'clustering-leopart_vit-s_cityscapes.py'
