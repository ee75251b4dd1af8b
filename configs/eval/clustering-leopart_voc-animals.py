# clustering-leopart on VOC's animals: 222 validation images, 7 classes.
# Expect: 13.62 +- 0.29 of a DINOv2 ViT-S/14, 7.52 +- 0.34 of random weights (own figures,
# docs/zoo.md).
_base_ = ['../_base_/datasets/voc-animals.py', '../_base_/protocols/clustering-leopart.py']

val_dataloader = dict(dataset={{_base_.val_set}})
test_dataloader = val_dataloader
