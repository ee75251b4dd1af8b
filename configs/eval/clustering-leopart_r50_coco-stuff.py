# clustering-leopart, ResNet-50 (28x28 tokens), 5,000 validation images, 15 super-categories.
_base_ = 'clustering-leopart_vit-s_coco-stuff.py'
