# retrieval-hsg on KITTI-STEP: 2,981 validation frames, 19 classes; the memory: 5,027 frames.
# Expect: 21.7 mIoU, 73.8 aAcc of HSG's ResNet-50 trained on KITTI-STEP (its paper, docs/zoo.md).
_base_ = ['../_base_/datasets/kitti-step.py', '../_base_/protocols/retrieval-hsg-1242.py']

val_dataloader = dict(dataset={{_base_.val_set}})
test_dataloader = val_dataloader
val_evaluator = dict(train_dataloader=dict(dataset={{_base_.train_set}}))
test_evaluator = val_evaluator
