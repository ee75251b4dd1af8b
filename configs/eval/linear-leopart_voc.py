# linear-leopart on Pascal VOC 2012: 1,449 validation images, 21 classes with background; trained on
# trainaug (10,582 images), 1 GPU x 120 images.
# Expect: 54.9, 61.6 and 70.6 of the weights that CrOC's authors released, trained on COCO, COCO+
# and ImageNet-1k (their figures, docs/zoo.md).
_base_ = ['../_base_/datasets/voc.py', '../_base_/protocols/linear-leopart.py']

model = dict(decode_head=dict(num_classes={{_base_.num_classes}}))
train_dataloader = dict(dataset={{_base_.train_set}})
val_dataloader = dict(dataset={{_base_.val_set}})
test_dataloader = val_dataloader
