# linear-ridge on Pascal VOC 2012: 1,449 validation images, 21 classes with background; fitted on
# trainaug (10,582 images).
# Expect: no figure is published.
_base_ = ['../_base_/datasets/voc.py', '../_base_/protocols/linear-ridge.py']

val_dataloader = dict(dataset={{_base_.val_set}})
test_dataloader = val_dataloader
val_evaluator = dict(train_dataloader=dict(dataset={{_base_.train_set}}))
test_evaluator = val_evaluator
