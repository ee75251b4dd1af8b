# Protocol linear-ridge: a linear classifier of frozen tokens in closed form, nothing random.
# Training images, squashed to 448x448, are seen once; a token's label is the class of most of its
# pixels; ridge penalty 1 on weights for standardised tokens. Scores are resized (bilinear) to masks
# at 448x448: mean IoU over all classes, a class without pixels counting 0. Takes no more memory
# than its moments, for any number of images.
_base_ = 'leopart.py'

val_evaluator = dict(
    type='mmcroc.LinearRidgeIoU',
    protocol='linear-ridge',
    train_dataloader=dict(
        batch_size=16, num_workers=8, dataset=dict(pipeline={{_base_.test_pipeline}})
    ),
    alpha=1.0,
    absent='zero',
)
test_evaluator = val_evaluator
