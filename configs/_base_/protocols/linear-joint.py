# Protocol linear-joint: six linear heads, one per learning rate, trained by SGD on the same batches
# of patches of the training images (squashed to image_size without augmentation, tokens
# standardised, 10 epochs, cosine). Reported are the head that scores best on a tenth of the
# training images, held out, and all six beside it. Scores interpolated to the mask, mean IoU over
# the classes there are.
_base_ = 'leopart.py'

val_evaluator = dict(
    type='mmcroc.LinearJointIoU',
    protocol='linear-joint',
    train_dataloader=dict(
        batch_size=16, num_workers=8, dataset=dict(pipeline={{_base_.test_pipeline}})
    ),
    learning_rates=[0.001, 0.003, 0.01, 0.03, 0.1, 0.3],
    num_epochs=10,
    batch_size=1024,
    momentum=0.9,
    held_out=0.1,
    absent='nan',
)
test_evaluator = val_evaluator
