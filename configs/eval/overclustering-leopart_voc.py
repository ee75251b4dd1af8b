# overclustering-leopart on Pascal VOC 2012: 1,449 validation images, 21 classes with background: as
# clustering-leopart, with 500 clusters (trained on 128,000 tokens), each mapped to the class of
# most of its pixels.
# Expect: no figure verified yet; docs/zoo.md holds those that are.
_base_ = ['../_base_/datasets/voc.py', '../_base_/protocols/overclustering-leopart.py']

val_dataloader = dict(dataset={{_base_.val_set}})
test_dataloader = val_dataloader
