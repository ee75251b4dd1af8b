# linear-joint on VOC's animals: 222 validation images, 7 classes; the patches of 3,131 training
# images take 1.8 GiB of main memory (ViT-S/16).
# Expect: no figure verified yet; docs/zoo.md holds those that are.
_base_ = ['../_base_/datasets/voc-animals.py', '../_base_/protocols/linear-joint.py']

val_dataloader = dict(dataset={{_base_.val_set}})
test_dataloader = val_dataloader
val_evaluator = dict(train_dataloader=dict(dataset={{_base_.train_set}}))
test_evaluator = val_evaluator
