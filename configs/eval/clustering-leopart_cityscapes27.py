# clustering-leopart on Cityscapes: 500 validation images, 27 classes: label ids 7-33, as in PiCIE
# and STEGO. Those papers score other crops with their own clustering: not beside their numbers.
# Expect: no figure verified yet; docs/zoo.md holds those that are.
_base_ = ['../_base_/datasets/cityscapes27.py', '../_base_/protocols/clustering-leopart.py']

val_dataloader = dict(dataset={{_base_.val_set}})
test_dataloader = val_dataloader
