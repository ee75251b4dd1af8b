# linear-cached on Pascal VOC 2012: 1,449 validation images, 21 classes with background; the tokens
# of trainaug (10,582 images), 2 crops each, take 12.3 GiB of main memory (ViT-S/16).
# Expect: no figure verified yet; docs/zoo.md holds those that are.
_base_ = ['../_base_/datasets/voc.py', '../_base_/protocols/linear-cached.py']

val_dataloader = dict(dataset={{_base_.val_set}})
test_dataloader = val_dataloader
val_evaluator = dict(train_dataloader=dict(dataset={{_base_.train_set}}))
test_evaluator = val_evaluator
