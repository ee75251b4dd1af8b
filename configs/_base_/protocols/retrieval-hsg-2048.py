# retrieval-hsg at the size and grid of Cityscapes. Features of 1024x2048 pixels and 384 channels
# take 3.2 GB per image, 5 times that in k-means; test_evaluator.stride=4 needs a sixteenth.
_base_ = 'retrieval-hsg.py'

test_pipeline = [
    dict(type='mmcroc.LoadWholeImage'),
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
