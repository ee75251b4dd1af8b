# Probe while pretraining, on Pascal VOC 2012. Inherit it beside a pretraining config and say how
# often: train_cfg = dict(val_interval=10). Numbers in percent:
#   clustering-probe  k-means of all tokens of the 1,449 validation images, K = classes, Hungarian
#                     match, mean IoU
#   linear-ridge      a linear classifier in closed form, fitted on 200 training images
# Both on images squashed to 224x224; they do not belong beside protocols at 448 pixels. Labels
# serve the measuring alone.
probe_pipeline = [
    dict(type='mmcroc.LoadRGBImage'),
    dict(type='mmcroc.LoadMappedAnnotations'),
    dict(type='mmseg.Resize', scale=(224, 224), keep_ratio=False),
    dict(type='mmseg.PackSegInputs'),
]

val_dataloader = dict(
    batch_size=32,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmseg.PascalVOCDataset',
        data_root='data/VOCdevkit/VOC2012',
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
        ann_file='ImageSets/Segmentation/val.txt',
        pipeline=probe_pipeline,
    ),
)
val_evaluator = [
    dict(
        type='mmcroc.ClusteringIoU',
        protocol='clustering-probe',
        algorithm='k-means++',
        num_restarts=2,
        seeds=[0, 1, 2],
        map_size=100,
    ),
    dict(
        type='mmcroc.LinearRidgeIoU',
        train_dataloader=dict(
            batch_size=32,
            num_workers=4,
            collate_fn=dict(type='default_collate'),
            dataset=dict(
                type='mmseg.PascalVOCDataset',
                data_root='data/VOCdevkit/VOC2012',
                data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
                ann_file='ImageSets/Segmentation/train.txt',
                indices=200,
                pipeline=probe_pipeline,
            ),
        ),
    ),
]
val_cfg = dict()
