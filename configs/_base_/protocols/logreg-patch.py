# Protocol logreg-patch: CAPI's logistic regression. Each patch of the training images, squashed to
# image_size without augmentation, has the most frequent label of its pixels; a softmax regression
# with an L2 penalty is fitted to their standardised tokens by L-BFGS. The strength of the penalty
# is the one of eight that scores best on a tenth of the training images, held out. All pixels of a
# patch get its class; mean IoU over the classes there are. CAPI shows the model 224x224:
# --image-size 224.
_base_ = 'leopart.py'

val_evaluator = dict(
    type='mmcroc.LogregPatchIoU',
    protocol='logreg-patch',
    train_dataloader=dict(
        batch_size=16, num_workers=8, dataset=dict(pipeline={{_base_.test_pipeline}})
    ),
    max_iterations=1000,
    tolerance=1e-4,
    held_out=0.1,
    absent='nan',
)
test_evaluator = val_evaluator
