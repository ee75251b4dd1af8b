# linear-mmseg on KITTI-STEP: 2,981 validation frames, 19 classes; trained on 5,027 frames, 1 GPU x
# 16 images.
# Expect: no figure verified yet; docs/zoo.md holds those that are.
_base_ = ['../_base_/datasets/kitti-step.py', '../_base_/protocols/linear-mmseg.py']

model = dict(decode_head=dict(num_classes={{_base_.num_classes}}))
train_dataloader = dict(dataset={{_base_.train_set}})
val_dataloader = dict(dataset={{_base_.val_set}})
test_dataloader = val_dataloader
