# hummingbird on VOC's animals: 222 validation images, 7 classes; the memory holds all patches of
# 3,131 images, 2.4 GiB (ViT-S). Fractions 1/8, 1/64 and 1/128 by own samples, balanced by class.
# Expect: no figure verified yet; docs/zoo.md holds those that are.
_base_ = ['../_base_/datasets/voc-animals.py', '../_base_/protocols/hummingbird.py']

val_dataloader = dict(dataset={{_base_.val_set}})
test_dataloader = val_dataloader
val_evaluator = dict(train_dataloader=dict(dataset={{_base_.train_set}}))
test_evaluator = val_evaluator
