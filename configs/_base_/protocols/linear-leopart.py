# Protocol linear-leopart: one 1x1 convolution on frozen tokens of 448x448 images. Training: random
# crops of scale 0.8-1, flips, tokens (bilinear, after the convolution, which is the same) against
# masks at 100x100 (nearest), SGD, 25 epochs, a tenth of the learning rate after 20, batch 120 in
# all. Scored after every epoch on images squashed to 448x448: mean IoU over all classes, an absent
# one counting 0, of the last epoch and of the best. Images resized by Pillow (bilinear,
# antialiased), masks by its nearest; ResNets at stride 16.
_base_ = 'leopart-crops.py'

test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmcroc.LoadMappedAnnotations'),
    dict(type='mmseg.Resize', scale=(448, 448), keep_ratio=False, backend='pillow'),
    dict(type='mmcroc.ScoreAtInputSize'),
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
    ),
    backbone=dict(
        type='mmcroc.PretrainedBackbone',
        model=None,  # to be named
        resnet_stride=16,
    ),
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
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4),
)
custom_hooks = [dict(type='mmcroc.NumClassesCheckHook')]
auto_scale_lr = dict(enable=False, base_batch_size=120)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=25, val_interval=1)
param_scheduler = [dict(type='MultiStepLR', milestones=[20], gamma=0.1, by_epoch=True)]
val_evaluator = dict(type='mmcroc.SegmentationIoU', protocol='linear-leopart', absent='zero')
test_evaluator = val_evaluator
val_cfg = dict()
test_cfg = dict()
