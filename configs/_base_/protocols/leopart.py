# What the -leopart protocols, clustering and linear-cached share: a frozen backbone, ResNets at
# stride 16, that sees squares of image_size pixels. Scored images are squashed to it by Pillow
# (bilinear, antialiased), masks by its nearest. Training images are random crops of scale 0.8-1,
# flipped, their masks at 100x100 (nearest).
# Another size: tools/evaluate.py --image-size, or MMCROC_IMAGE_SIZE in the environment; pipelines
# and preprocessor are computed from it here.
_base_ = '../evaluation_runtime.py'

image_size = {{'$MMCROC_IMAGE_SIZE:448'}}
train_pipeline = [
    dict(type='mmcroc.LoadWholeImage'),
    dict(type='mmcroc.LoadMappedAnnotations'),
    dict(type='mmcroc.RandomResizedCropWithLabels', size=image_size, scale=(0.8, 1.0)),
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='mmcroc.ResizeLabels', size=100),
    dict(type='mmseg.PackSegInputs'),
]
test_pipeline = [
    dict(type='mmcroc.LoadWholeImage'),
    dict(type='mmcroc.LoadMappedAnnotations'),
    dict(type='mmseg.Resize', scale=(image_size, image_size), keep_ratio=False, backend='pillow'),
    dict(type='mmcroc.ScoreAtInputSize'),
    dict(type='mmseg.PackSegInputs'),
]
model = dict(
    type='mmcroc.FeatureSegmentor',
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size=(image_size, image_size),
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(
        type='mmcroc.PretrainedBackbone',
        model=None,  # to be named
        resnet_stride=16,
    ),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_cfg = dict()
test_cfg = dict()
