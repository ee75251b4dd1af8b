# COCO by 12 super-categories of things, all else ignored. Labels are MMSegmentation's pixel maps
# (stuffthingmaps, *_labelTrainIds.png), where papers take the panoptic masks. Training: a random
# tenth of train2017 (11,829 images); val2017 has 5,000.
num_classes = 12
train_set = dict(
    type='mmcroc.COCOThings12Dataset',
    data_root='data/coco',
    data_prefix=dict(img_path='train2017', seg_map_path='stuffthingmaps/train2017'),
    fraction=0.1,
)
val_set = dict(
    type='mmcroc.COCOThings12Dataset',
    data_root='data/coco',
    data_prefix=dict(img_path='val2017', seg_map_path='stuffthingmaps/val2017'),
)
