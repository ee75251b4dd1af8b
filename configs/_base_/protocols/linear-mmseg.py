# Protocol linear-mmseg: one 1x1 convolution on frozen tokens, trained and tested MMSegmentation's
# usual way. Images keep their ratio, short side 448. Training: scales 0.5-2, crops of 448, flips,
# colours; SGD with poly schedule, 20,000 iterations of 16 images. Scored on whole images at the
# masks' own size: mean IoU over the classes there are.
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmcroc.LoadMappedAnnotations'),
    dict(type='RandomResize', scale=(2048, 448), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(448, 448), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 448), keep_ratio=True),
    # After resizing: the mask keeps the file's size.
    dict(type='mmcroc.LoadMappedAnnotations'),
    dict(type='PackSegInputs'),
]
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size=(448, 448),
        pad_val=0,
        seg_pad_val=255,
        # Whole images are padded to patches; the padding is cut off again.
        test_cfg=dict(size_divisor=16),
    ),
    backbone=dict(type='mmcroc.PretrainedBackbone', model='random:deit-small/16'),
    decode_head=dict(
        type='FCNHead',
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
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4),
)
auto_scale_lr = dict(enable=False, base_batch_size=16)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=20000, val_interval=20000)
param_scheduler = [dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=20000, by_epoch=False)]
val_evaluator = dict(type='mmcroc.SegmentationIoU', protocol='linear-mmseg', absent='nan')
test_evaluator = val_evaluator
val_cfg = dict()
test_cfg = dict()
