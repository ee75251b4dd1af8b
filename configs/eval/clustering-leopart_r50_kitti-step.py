# clustering-leopart, ResNet-50 (28x28 tokens), 2,981 validation frames, 19 classes.
_base_ = 'clustering-leopart_vit-s_kitti-step.py'
