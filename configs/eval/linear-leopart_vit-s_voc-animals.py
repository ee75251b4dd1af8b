# linear-leopart, ViT-S/16, 222 validation images, 7 classes; 1 GPU x 120 images.
# The weights: --cfg-options model.backbone.model=CHECKPOINT, or tools/evaluate.py.
_base_ = [
    '../_base_/datasets/voc-animals.py',
    '../_base_/protocols/linear-leopart.py',
    '../_base_/evaluation_runtime.py',
]
model = dict(decode_head=dict(num_classes=7))
train_dataloader = dict(batch_size=120, dataset=dict(pipeline={{_base_.train_pipeline}}))
val_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
