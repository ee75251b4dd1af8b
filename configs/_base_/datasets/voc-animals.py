# The animals of Pascal VOC 2012: 3,131 training images and 222 validation images with animals,
# scored over 7 classes; not to be put beside VOC's 21-class numbers.
num_classes = 7
train_set = dict(
    type='mmcroc.VOCAnimalsDataset',
    data_root='data/voc_animals/VOCdevkit/VOC2012',
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassAug'),
    ann_file='ImageSets/Segmentation/trainaug.txt',
)
val_set = dict(train_set, ann_file='ImageSets/Segmentation/val.txt')
