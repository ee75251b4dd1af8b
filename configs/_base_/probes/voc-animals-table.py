# The probe of VOC's animals with linear-joint beside it, for tables of finished runs:
#   linear-joint-probe    the best of six linear classifiers trained together on all training images
_base_ = 'voc-animals.py'

val_evaluator = [
    *_base_.val_evaluator,
    dict(
        type='mmcroc.LinearJointIoU',
        protocol='linear-joint-probe',
        train_dataloader=_base_.train_images,
    ),
]
