# linear-leopart on VOC's animals: 222 validation images, 7 classes; trained on 3,131 images, 1 GPU
# x 120 images.
# Expect: no figure verified yet; docs/zoo.md holds those that are.
_base_ = ['../_base_/datasets/voc-animals.py', '../_base_/protocols/linear-leopart.py']

model = dict(decode_head=dict(num_classes={{_base_.num_classes}}))
train_dataloader = dict(dataset={{_base_.train_set}})
val_dataloader = dict(dataset={{_base_.val_set}})
test_dataloader = val_dataloader
