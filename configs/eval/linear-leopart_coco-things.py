# linear-leopart on COCO-Things: 5,000 validation images, 12 super-categories; trained on a tenth of
# train2017 (11,829 images), 1 GPU x 120 images.
# Expect: 55.7, 64.4 and 66.1 of the weights that CrOC's authors released, trained on COCO, COCO+
# and ImageNet-1k (their figures, docs/zoo.md).
_base_ = ['../_base_/datasets/coco-things.py', '../_base_/protocols/linear-leopart.py']

model = dict(decode_head=dict(num_classes={{_base_.num_classes}}))
train_dataloader = dict(dataset={{_base_.train_set}})
val_dataloader = dict(dataset={{_base_.val_set}})
test_dataloader = val_dataloader
