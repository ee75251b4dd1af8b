# retrieval-hsg on Cityscapes: 500 validation images, 19 classes; the memory: 2,975 images. Features
# of 1024x2048 pixels and 384 channels take 3.2 GB per image, 5 times that in k-means;
# test_evaluator.stride=4 needs a sixteenth.
# Expect: 32.5 mIoU, 86.0 aAcc of HSG's ResNet-50 trained on Cityscapes (its paper, docs/zoo.md).
_base_ = ['../_base_/datasets/cityscapes.py', '../_base_/protocols/retrieval-hsg-2048.py']

val_dataloader = dict(dataset={{_base_.val_set}})
test_dataloader = val_dataloader
val_evaluator = dict(train_dataloader=dict(dataset={{_base_.train_set}}))
test_evaluator = val_evaluator
