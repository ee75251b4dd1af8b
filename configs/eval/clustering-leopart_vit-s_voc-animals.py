# clustering-leopart, ViT-S/16, 222 validation images, 7 classes.
# The weights: --cfg-options model.backbone.model=CHECKPOINT, or tools/evaluate.py.
_base_ = [
    '../_base_/datasets/voc-animals.py',
    '../_base_/protocols/clustering-leopart.py',
    '../_base_/evaluation_runtime.py',
]
val_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
# Nothing is trained.
train_dataloader = None
