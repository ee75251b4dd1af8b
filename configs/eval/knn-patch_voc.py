# knn-patch on Pascal VOC 2012: 1,449 validation images, 21 classes with background; the patches
# of trainaug (10,582 images) take 7.9 GiB of main memory (ViT-S/16).
# Expect: no figure verified yet; docs/zoo.md holds those that are.
_base_ = ['../_base_/datasets/voc.py', '../_base_/protocols/knn-patch.py']

val_dataloader = dict(dataset={{_base_.val_set}})
test_dataloader = val_dataloader
val_evaluator = dict(train_dataloader=dict(dataset={{_base_.train_set}}))
test_evaluator = val_evaluator
