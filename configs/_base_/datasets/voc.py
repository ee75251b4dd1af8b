# Pascal VOC 2012: trainaug (10,582 images, with SBD's labels; masks in SegmentationClassAug, list
# in ImageSets/Segmentation/trainaug.txt) and val (1,449), 21 classes with background.
num_classes = 21
train_set = dict(
    type='mmseg.PascalVOCDataset',
    data_root='data/VOCdevkit/VOC2012',
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassAug'),
    ann_file='ImageSets/Segmentation/trainaug.txt',
)
val_set = dict(
    train_set,
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
    ann_file='ImageSets/Segmentation/val.txt',
)
protocol_settings = dict(hummingbird=dict(low_shot='voc'))
