# Two protocols as metrics of a config of MMSegmentation's, written by hand: both score the tokens
# of one pass.
_base_ = 'mmseg::_base_/default_runtime.py'

pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
    dict(type='PackSegInputs'),
]
voc = dict(
    type='PascalVOCDataset',
    data_root='data/VOCdevkit/VOC2012',
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
    pipeline=pipeline,
)
model = dict(
    type='mmcroc.FeatureSegmentor',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size=(224, 224),
    ),
    backbone=dict(type='mmcroc.PretrainedBackbone', model=None),  # to be named
)
test_dataloader = dict(
    batch_size=16,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(voc, ann_file='ImageSets/Segmentation/val.txt'),
)
test_evaluator = [
    dict(type='mmcroc.ClusteringIoU', protocol='clustering-224'),
    dict(
        type='mmcroc.LinearRidgeIoU',
        protocol='linear-ridge-224',
        train_dataloader=dict(
            batch_size=16,
            num_workers=2,
            dataset=dict(voc, ann_file='ImageSets/Segmentation/train.txt'),
        ),
    ),
]
test_cfg = dict(type='TestLoop')
default_hooks = dict(fit_probes=dict(type='mmcroc.FitProbesHook'))
