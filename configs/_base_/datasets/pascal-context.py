# Pascal-Context (VOC 2010 with MMSegmentation's pixel maps of 59 classes and background): 4,998
# training and 5,105 validation images. 60 classes: background is one of them, nothing is ignored.
num_classes = 60
train_set = dict(
    type='mmseg.PascalContextDataset',
    data_root='data/VOCdevkit/VOC2010',
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext'),
    ann_file='ImageSets/SegmentationContext/train.txt',
)
val_set = dict(train_set, ann_file='ImageSets/SegmentationContext/val.txt')
