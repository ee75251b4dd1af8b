# retrieval-hsg on VOC's animals: 222 validation images, 7 classes; the memory: 3,131 images.
# Expect: no figure verified yet; docs/zoo.md holds those that are.
_base_ = ['../_base_/datasets/voc-animals.py', '../_base_/protocols/retrieval-hsg.py']

val_dataloader = dict(dataset={{_base_.val_set}})
test_dataloader = val_dataloader
val_evaluator = dict(train_dataloader=dict(dataset={{_base_.train_set}}))
test_evaluator = val_evaluator
