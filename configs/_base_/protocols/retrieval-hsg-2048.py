# retrieval-hsg at the size and grid of Cityscapes.
_base_ = 'retrieval-hsg.py'

test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 1024), keep_ratio=True),
    dict(type='mmcroc.PadImage', size=(1024, 2048), value=(104, 116, 124)),
    dict(type='mmcroc.LoadMappedAnnotations'),
    dict(type='PackSegInputs'),
]
val_dataloader = dict(batch_size=2, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(
    grid=(12, 24),
    train_dataloader=dict(batch_size=2),
    train_pipeline=test_pipeline,
)
test_evaluator = val_evaluator
