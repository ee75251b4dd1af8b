# clustering-leopart on VOC's animals: 222 validation images, 7 classes.
# Expect: 13.59 +- 0.44 of a DINOv2 ViT-S/14 (own measurement, docs/protocols.md).
_base_ = ['../_base_/datasets/voc-animals.py', '../_base_/protocols/clustering-leopart.py']

val_dataloader = dict(dataset={{_base_.val_set}})
test_dataloader = val_dataloader
