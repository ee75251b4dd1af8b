# Two views of each image and of its over-segmentation, as HSG makes them; COCO train2017 by
# default (118,287 images). The maps: python tools/prepare_oversegmentation.py
# data/coco/train2017 data/coco/oversegmentation/train2017
# 16 images x 8 GPUs (stage 1).
_base_ = 'two_views.py'

view_transforms = [
    dict(
        type='mmcroc.ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, prob=0.8
    ),
    dict(type='mmcroc.RandomGrayscale', prob=0.2),
]
train_pipeline = [
    dict(
        type='mmcroc.TwoViewsWithRegions',
        size=224,
        scale=(0.5, 1.5),
        view_transforms=[view_transforms, view_transforms],
    ),
    dict(type='mmcroc.PackTwoViewsWithRegions'),
]
data_preprocessor = dict(type='mmcroc.RegionViewDataPreprocessor')
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        type='mmcroc.OversegmentedImages',
        oversegmentation_folders=['oversegmentation/train2017'],
        pipeline=train_pipeline,
    ),
)
