# COCO-Stuff by 15 super-categories of stuff, all else ignored. Labels are MMSegmentation's pixel
# maps (stuffthingmaps, *_labelTrainIds.png). Training: a random tenth of train2017 (11,829
# images); val2017 has 5,000.
train_dataloader = dict(
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mmcroc.COCOStuff15Dataset',
        data_root='data/coco',
        data_prefix=dict(img_path='train2017', seg_map_path='stuffthingmaps/train2017'),
        fraction=0.1,
    ),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmcroc.COCOStuff15Dataset',
        data_root='data/coco',
        data_prefix=dict(img_path='val2017', seg_map_path='stuffthingmaps/val2017'),
    ),
)
test_dataloader = val_dataloader
