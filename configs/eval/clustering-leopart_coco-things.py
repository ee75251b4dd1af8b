# clustering-leopart on COCO-Things: 5,000 validation images, 12 super-categories.
# Expect: no figure verified yet; docs/zoo.md holds those that are.
_base_ = ['../_base_/datasets/coco-things.py', '../_base_/protocols/clustering-leopart.py']

val_dataloader = dict(dataset={{_base_.val_set}})
test_dataloader = val_dataloader
