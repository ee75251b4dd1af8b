# linear-mmseg, ViT-S/16, 5,000 validation images, 12 super-categories; 1 GPU x 16 images.
# The weights: --cfg-options model.backbone.model=CHECKPOINT, or tools/evaluate.py.
_base_ = ['../_base_/datasets/coco-things.py', '../_base_/protocols/linear-mmseg.py']
model = dict(decode_head=dict(num_classes=12))
train_dataloader = dict(
    batch_size=16,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(pipeline={{_base_.train_pipeline}}),
)
# Images differ in size.
val_dataloader = dict(batch_size=1, dataset=dict(pipeline={{_base_.test_pipeline}}))
test_dataloader = dict(batch_size=1, dataset=dict(pipeline={{_base_.test_pipeline}}))
