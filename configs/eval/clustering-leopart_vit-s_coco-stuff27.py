# clustering-leopart, ViT-S/16, 5,000 validation images, 27 super-categories: 12 of things and 15 of
# stuff, grouped as in PiCIE and STEGO. Scored is all of val2017, squashed whole to 448x448; those
# papers score other crops of fewer images with their own clustering: not beside their numbers.
# The weights: --cfg-options model.backbone.model=CHECKPOINT, or tools/evaluate.py.
_base_ = [
    '../_base_/datasets/coco-stuff27.py',
    '../_base_/protocols/clustering-leopart.py',
    '../_base_/evaluation_runtime.py',
]
val_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
# Nothing is trained.
train_dataloader = None
