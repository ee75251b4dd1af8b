# nfcovering-hsg on the 5,000 validation images of COCO 2017, the things of the panoptic masks as
# foreground; crowds and stuff do not count.
# Expect: no figure is published on these regions: HSG's are of DensePose's body parts.
_base_ = '../_base_/protocols/nfcovering-hsg.py'

val_dataloader = dict(
    dataset=dict(
        type='mmcroc.COCOPanopticRegions',
        data_root='data/coco',
        ann_file='annotations/panoptic_val2017.json',
        data_prefix=dict(img_path='val2017'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='mmcroc.LoadCOCOInstances'),
            dict(type='mmcroc.PackRegions'),
        ],
    ),
)
test_dataloader = val_dataloader
