# retrieval-hsg on Pascal VOC 2012: 1,449 validation images, 21 classes with background; the memory:
# trainaug (10,582 images).
# Expect: 41.9 mIoU, 85.7 aAcc of HSG's ResNet-50 trained on COCO (its paper, docs/zoo.md).
_base_ = ['../_base_/datasets/voc.py', '../_base_/protocols/retrieval-hsg.py']

val_dataloader = dict(dataset={{_base_.val_set}})
test_dataloader = val_dataloader
val_evaluator = dict(train_dataloader=dict(dataset={{_base_.train_set}}))
test_evaluator = val_evaluator
