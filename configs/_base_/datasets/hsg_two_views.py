# Two views of each image and of its over-segmentation, as HSG makes them; COCO train2017 by
# default (118,287 images). The maps: python tools/prepare_oversegmentation.py
# data/coco/train2017 data/coco/oversegmentation/train2017
# 16 images x 8 GPUs (stage 1).
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

data_preprocessor = dict(
    type='mmcroc.RegionViewDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)

train_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='mmcroc.EpochSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmcroc.OversegmentedImages',
        data_root='data/coco',
        folders=['train2017'],
        oversegmentation_folders=['oversegmentation/train2017'],
        pipeline=train_pipeline,
    ),
)
