# Two views of each image, as CrOC makes them; COCO train2017 by default (118,287 images).
# 32 images x 8 GPUs.
color_jitter = dict(
    type='mmcroc.ColorJitter', brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, prob=0.8
)
grayscale = dict(type='mmcroc.RandomGrayscale', prob=0.2)

view_transforms = [
    [color_jitter, grayscale, dict(type='mmcroc.GaussianBlur', prob=1.0)],
    [
        color_jitter,
        grayscale,
        dict(type='mmcroc.GaussianBlur', prob=0.1),
        dict(type='mmcroc.Solarize', threshold=128, prob=0.2),
    ],
]
train_pipeline = [
    dict(
        type='mmcroc.TwoViews',
        size=224,
        scale=(0.25, 1.0),
        view_transforms=view_transforms,
        colour_on_device=False,  # True: the data preprocessor does them, batched
    ),
    dict(type='mmcroc.PackTwoViews'),
]

data_preprocessor = dict(
    type='mmcroc.TwoViewDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)

train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='mmcroc.EpochSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmcroc.UnlabelledImages',
        data_root='data/coco',
        folders=['train2017'],
        pipeline=train_pipeline,
    ),
)
