# clustering-leopart, ResNet-50 (28x28 tokens), 1,449 validation images, 21 classes with background.
_base_ = 'clustering-leopart_vit-s_voc.py'
