# retrieval-hsg, ViT-S/16, 2,981 validation frames, 19 classes; the memory: 5,027 training frames.
# Frames of another shape than 375x1242 are fitted into it.
# The weights: --cfg-options model.backbone.model=CHECKPOINT, or tools/evaluate.py.
_base_ = [
    '../_base_/datasets/kitti-step.py',
    '../_base_/protocols/retrieval-hsg.py',
    '../_base_/evaluation_runtime.py',
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1242, 375), keep_ratio=True),
    dict(type='mmcroc.PadImage', size=(375, 1242), value=(104, 116, 124)),
    dict(type='mmcroc.LoadMappedAnnotations'),
    dict(type='PackSegInputs'),
]
val_dataloader = dict(batch_size=2, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(batch_size=2, dataset=dict(pipeline=test_pipeline))
val_evaluator = dict(
    grid=(6, 12),
    train_dataloader=dict(
        batch_size=2,
        num_workers=8,
        persistent_workers=True,
        dataset={{_base_.train_dataloader.dataset}},
    ),
    train_pipeline=test_pipeline,
)
test_evaluator = val_evaluator
# Nothing is trained.
train_dataloader = None
