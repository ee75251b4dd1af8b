# Cityscapes by 27 classes, label ids 7-33 (*_labelIds.png, as downloaded): the set of PiCIE and
# STEGO. 2,975 training and 500 validation images.
_base_ = 'cityscapes.py'

train_dataloader = dict(dataset=dict(type='mmcroc.Cityscapes27Dataset'))
val_dataloader = dict(dataset=dict(type='mmcroc.Cityscapes27Dataset'))
test_dataloader = val_dataloader
