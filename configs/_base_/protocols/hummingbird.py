# Protocol hummingbird: dense nearest neighbours in context, nothing is trained. Tokens of labelled
# training images are a memory; a validation token takes the labels of its 30 nearest by cosine,
# weighted by a softmax at temperature .02.
# Follows open-hummingbird-eval 2.0.0, slips included (docs/hummingbird.md), but for the search,
# which is exact here, and the memory's half precision. One pass over the training images, of which
# at most 10,240,000 patches are kept.
# Images are squashed to squares of image_size pixels: 512 for patches of 16 pixels; take 504 or 518
# for 14 (tools/evaluate.py --image-size, or MMCROC_IMAGE_SIZE in the environment).
_base_ = '../evaluation_runtime.py'

image_size = {{'$MMCROC_IMAGE_SIZE:512'}}
train_pipeline = [
    dict(type='mmcroc.LoadRGBImage'),
    dict(type='mmcroc.LoadMappedAnnotations'),
    # Each for itself with probability .5, in this order, on the whole picture.
    dict(type='mmcroc.ColorJitter', brightness=0.1, contrast=0, saturation=0, hue=0, prob=0.5),
    dict(type='mmcroc.ColorJitter', brightness=0, contrast=0.1, saturation=0, hue=0, prob=0.5),
    dict(type='mmcroc.ColorJitter', brightness=0, contrast=0, saturation=0.1, hue=0, prob=0.5),
    dict(type='mmcroc.ColorJitter', brightness=0, contrast=0, saturation=0, hue=0.1, prob=0.5),
    # Boxes of more than the picture cannot be had: often it is taken as a whole.
    dict(type='mmcroc.RandomFloatCropWithLabels', size=image_size, scale=(0.5, 2.0)),
    dict(type='mmcroc.ScoreAtInputSize'),
    dict(type='mmseg.PackSegInputs'),
]
test_pipeline = [
    dict(type='mmcroc.LoadRGBImage'),
    dict(type='mmcroc.LoadMappedAnnotations'),
    dict(type='mmcroc.SquashWithLabels', size=image_size),
    dict(type='mmcroc.ScoreAtInputSize'),
    dict(type='mmseg.PackSegInputs'),
]
model = dict(
    type='mmcroc.FeatureSegmentor',
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 65.025],  # blue: .255 of 255 in the release, where others have .225
        bgr_to_rgb=False,  # red first from the file on
        size=(image_size, image_size),
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(type='mmcroc.PretrainedBackbone', model=None),  # to be named
)
val_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='mmcroc.HummingbirdIoU',
    protocol='hummingbird',
    train_dataloader=dict(batch_size=16, num_workers=8),
    train_pipeline=train_pipeline,
    num_passes=1,
    memory_size=10_240_000,
    memory_dtype='float16',
    num_neighbours=30,
    temperature=0.02,
    void_class=0,
    matching='hungarian',
    fractions=[1, 8, 64, 128],
    absent='zero',
)
test_evaluator = val_evaluator
val_cfg = dict()
test_cfg = dict()
