# Protocol knn-patch: CAPI's nearest-neighbour probe. Tokens of all training images, squashed to
# image_size without augmentation and standardised, are kept; each patch of a scored image finds its
# nearest ones (exact search) and the labels of their pixels vote, pixel by pixel. Number of
# neighbours and distance are those that score best on a tenth of the training images, held out.
# Mean IoU over the classes there are. CAPI shows the model 224x224: --image-size 224.
_base_ = 'leopart.py'

val_evaluator = dict(
    type='mmcroc.KNNPatchIoU',
    protocol='knn-patch',
    train_dataloader=dict(
        batch_size=16, num_workers=8, dataset=dict(pipeline={{_base_.test_pipeline}})
    ),
    num_neighbours=[1, 3, 10, 30],
    distances=['cosine', 'l2'],
    held_out=0.1,
    absent='nan',
)
test_evaluator = val_evaluator
