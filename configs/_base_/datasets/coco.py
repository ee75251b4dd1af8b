# COCO 2017 with the things of the panoptic masks as regions: 5,000 validation images; crowds and
# stuff do not count.
region_set = dict(
    type='mmcroc.COCOPanopticRegions',
    data_root='data/coco',
    ann_file='annotations/panoptic_val2017.json',
    data_prefix=dict(img_path='val2017'),
    pipeline=[
        dict(type='mmcroc.LoadWholeImage'),
        dict(type='mmcroc.LoadCOCOInstances'),
        dict(type='mmcroc.PackRegions'),
    ],
)
