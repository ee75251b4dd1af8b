# clustering-leopart, ViT-S/16, 500 validation images, 19 classes.
# The weights: --cfg-options model.backbone.model=CHECKPOINT, or tools/evaluate.py.
_base_ = [
    '../_base_/datasets/cityscapes.py',
    '../_base_/protocols/clustering-leopart.py',
    '../_base_/evaluation_runtime.py',
]
val_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
# Nothing is trained.
train_dataloader = None
