# clustering-leopart, ViT-S/16, 500 validation images, 27 classes: label ids 7-33, as in PiCIE and
# STEGO. Scored are whole images squashed to 448x448; those papers score other crops with their own
# clustering: not beside their numbers.
# The weights: --cfg-options model.backbone.model=CHECKPOINT, or tools/evaluate.py.
_base_ = [
    '../_base_/datasets/cityscapes27.py',
    '../_base_/protocols/clustering-leopart.py',
    '../_base_/evaluation_runtime.py',
]
val_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
# Nothing is trained.
train_dataloader = None
