# hummingbird on Pascal VOC 2012: 1,449 validation images, 21 classes with background; the memory
# holds 967 patches of each of trainaug's 10,582 images and takes 8 GiB (ViT-S). Fractions 1/8, 1/64
# and 1/128 by the published lists, five seeds each.
# Expect: published figures are 48.7 and 46.6 of DINO's ViT-S/16 (docs/hummingbird.md says why one
# model has two), 60.5 of CrOC's.
_base_ = ['../_base_/datasets/voc.py', '../_base_/protocols/hummingbird.py']

val_dataloader = dict(dataset={{_base_.val_set}})
test_dataloader = val_dataloader
val_evaluator = dict(train_dataloader=dict(dataset={{_base_.train_set}}), low_shot='voc')
test_evaluator = val_evaluator
