# clustering on Pascal VOC 2012: 1,449 validation images, 21 classes with background: as
# clustering-leopart, but k-means++ on all tokens.
# Expect: no figure is published; less spread than clustering-leopart (docs/protocols.md).
_base_ = ['../_base_/datasets/voc.py', '../_base_/protocols/clustering.py']

val_dataloader = dict(dataset={{_base_.val_set}})
test_dataloader = val_dataloader
