# Protocol linear-mmseg: one 1x1 convolution on frozen tokens, trained and tested MMSegmentation's
# usual way. Images keep their ratio, short side 448. Training: scales 0.5-2, crops of 448, flips,
# colours; SGD with poly schedule, 20,000 iterations of 16 images. Scored on whole images at the
# masks' own size: mean IoU over the classes there are.
# Another size: tools/evaluate.py --image-size, or MMCROC_IMAGE_SIZE in the environment.
# Schedule and runtime are MMSegmentation's own files. (Names in `mmseg::` are understood by
# `mmcroc.read_config`, as our tools do.)
_base_ = [
    'mmseg::_base_/default_runtime.py',
    'mmseg::_base_/schedules/schedule_20k.py',
]

image_size = {{'$MMCROC_IMAGE_SIZE:448'}}
train_pipeline = [
    dict(type='mmcroc.LoadWholeImage'),
    dict(type='mmcroc.LoadMappedAnnotations'),
    dict(type='RandomResize', scale=(2048, image_size), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='mmseg.RandomCrop', crop_size=(image_size, image_size), cat_max_ratio=0.75),
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='mmseg.PackSegInputs'),
]
test_pipeline = [
    dict(type='mmcroc.LoadWholeImage'),
    dict(type='mmseg.Resize', scale=(2048, image_size), keep_ratio=True),
    # After resizing: the mask keeps the file's size.
    dict(type='mmcroc.LoadMappedAnnotations'),
    dict(type='mmseg.PackSegInputs'),
]
model = dict(
    type='mmcroc.LinearSegmentor',
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size=(image_size, image_size),
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(type='mmcroc.PretrainedBackbone', model=None),  # to be named
)
train_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,  # images differ in size
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(pipeline=test_pipeline),
)
test_dataloader = val_dataloader
custom_hooks = [dict(type='mmcroc.NumClassesCheckHook')]
auto_scale_lr = dict(enable=False, base_batch_size=16)
train_cfg = dict(val_interval=20000)
default_hooks = dict(
    logger=dict(type='mmcroc.EvaluationLoggerHook'),
    checkpoint=dict(type='mmcroc.AtomicCheckpointHook', interval=20000, max_keep_ckpts=1),
    fit_probes=dict(type='mmcroc.FitProbesHook'),
)
randomness = dict(seed=0)
val_evaluator = dict(type='mmcroc.SegmentationIoU', protocol='linear-mmseg', absent='nan')
test_evaluator = val_evaluator
