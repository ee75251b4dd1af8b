# Cityscapes by 27 classes, label ids 7-33 (*_labelIds.png, as downloaded): the set of PiCIE and
# STEGO. 2,975 training and 500 validation images.
_base_ = 'cityscapes.py'

num_classes = 27
train_set = dict(type='mmcroc.Cityscapes27Dataset')
val_set = dict(type='mmcroc.Cityscapes27Dataset')
region_set = None
