# retrieval-hsg at the size and grid of KITTI-STEP; other frames are fitted into it.
_base_ = 'retrieval-hsg.py'

test_pipeline = [
    dict(type='mmcroc.LoadWholeImage'),
    dict(type='Resize', scale=(1242, 375), keep_ratio=True),
    dict(type='mmcroc.PadImage', size=(375, 1242), value=(104, 116, 124)),
    dict(type='mmcroc.LoadMappedAnnotations'),
    dict(type='PackSegInputs'),
]
val_dataloader = dict(batch_size=2, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(
    grid=(6, 12),
    train_dataloader=dict(batch_size=2),
    train_pipeline=test_pipeline,
)
test_evaluator = val_evaluator
