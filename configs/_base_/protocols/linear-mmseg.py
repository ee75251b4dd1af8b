# Protocol linear-mmseg: one 1x1 convolution on frozen tokens, trained and tested MMSegmentation's
# usual way. Images keep their ratio, short side 448. Training: scales 0.5-2, crops of 448, flips,
# colours; SGD with poly schedule, 20,000 iterations of 16 images. Scored on whole images at the
# masks' own size: mean IoU over the classes there are.
# Schedule and runtime are MMSegmentation's own files. (Its name in `mmseg::` is understood after
# `import mmcroc`, as our tools do.)
_base_ = [
    'mmseg::_base_/default_runtime.py',
    'mmseg::_base_/schedules/schedule_20k.py',
]

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmcroc.LoadMappedAnnotations'),
    dict(type='RandomResize', scale=(2048, 448), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='mmseg.RandomCrop', crop_size=(448, 448), cat_max_ratio=0.75),
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='mmseg.PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmseg.Resize', scale=(2048, 448), keep_ratio=True),
    # After resizing: the mask keeps the file's size.
    dict(type='mmcroc.LoadMappedAnnotations'),
    dict(type='mmseg.PackSegInputs'),
]
model = dict(
    type='mmseg.EncoderDecoder',
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size=(448, 448),
        pad_val=0,
        seg_pad_val=255,
        # Whole images are padded to patches; the padding is cut off again.
        test_cfg=dict(size_divisor=16),
    ),
    backbone=dict(type='mmcroc.PretrainedBackbone', model=None),  # to be named
    decode_head=dict(
        type='mmseg.FCNHead',
        num_convs=0,
        concat_input=False,
        kernel_size=1,
        in_channels=384,
        channels=384,
        in_index=0,
        dropout_ratio=0,
        norm_cfg=None,
        align_corners=False,
        # The mean over labelled pixels, as PyTorch's; MMSegmentation's default divides by all.
        loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
custom_hooks = [dict(type='mmcroc.NumClassesCheckHook')]
auto_scale_lr = dict(enable=False, base_batch_size=16)
train_cfg = dict(val_interval=20000)
default_hooks = dict(
    checkpoint=dict(type='mmcroc.AtomicCheckpointHook', interval=20000, max_keep_ckpts=1),
    fit_probes=dict(type='mmcroc.FitProbesHook'),
)
randomness = dict(seed=0)
val_evaluator = dict(type='mmcroc.SegmentationIoU', protocol='linear-mmseg', absent='nan')
test_evaluator = val_evaluator
