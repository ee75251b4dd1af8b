# clustering-leopart on COCO-Stuff: 5,000 validation images, 27 super-categories: 12 of things and
# 15 of stuff, grouped as in PiCIE and STEGO. Those papers score other crops of fewer images with
# their own clustering: not beside their numbers.
# Expect: no figure verified yet; docs/zoo.md holds those that are.
_base_ = ['../_base_/datasets/coco-stuff27.py', '../_base_/protocols/clustering-leopart.py']

val_dataloader = dict(dataset={{_base_.val_set}})
test_dataloader = val_dataloader
