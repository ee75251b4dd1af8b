# COCO-Stuff by 15 super-categories of stuff, all else ignored. Labels are MMSegmentation's pixel
# maps (stuffthingmaps, *_labelTrainIds.png). Training: a random tenth of train2017 (11,829
# images); val2017 has 5,000.
num_classes = 15
train_set = dict(
    type='mmcroc.COCOStuff15Dataset',
    data_root='data/coco',
    data_prefix=dict(img_path='train2017', seg_map_path='stuffthingmaps/train2017'),
    fraction=0.1,
)
val_set = dict(
    type='mmcroc.COCOStuff15Dataset',
    data_root='data/coco',
    data_prefix=dict(img_path='val2017', seg_map_path='stuffthingmaps/val2017'),
)
