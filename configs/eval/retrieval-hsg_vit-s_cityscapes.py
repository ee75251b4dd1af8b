# retrieval-hsg, ViT-S/16, 500 validation images, 19 classes; the memory: 2,975 training images.
# Features of 1024x2048 pixels and 384 channels take 3.2 GB per image, 5 times that in k-means;
# test_evaluator.stride=4 needs a sixteenth.
# The weights: --cfg-options model.backbone.model=CHECKPOINT, or tools/evaluate.py.
_base_ = [
    '../_base_/datasets/cityscapes.py',
    '../_base_/protocols/retrieval-hsg.py',
    '../_base_/evaluation_runtime.py',
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 1024), keep_ratio=True),
    dict(type='mmcroc.PadImage', size=(1024, 2048), value=(104, 116, 124)),
    dict(type='mmcroc.LoadMappedAnnotations'),
    dict(type='PackSegInputs'),
]
val_dataloader = dict(batch_size=2, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(batch_size=2, dataset=dict(pipeline=test_pipeline))
val_evaluator = dict(
    grid=(12, 24),
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
