# clustering-leopart on Pascal VOC 2012: 1,449 validation images, 21 classes with background.
# Expect: no figure verified yet; docs/zoo.md holds those that are.
_base_ = ['../_base_/datasets/voc.py', '../_base_/protocols/clustering-leopart.py']

val_dataloader = dict(dataset={{_base_.val_set}})
test_dataloader = val_dataloader
