# nfcovering-hsg on the 500 validation images of Cityscapes, the instances as foreground; stuff and
# groups that are not told apart do not count. HSG's longer side here is 2048.
# Expect: HSG's paper scores these instances too; no figure of ours (docs/protocols.md).
_base_ = '../_base_/protocols/nfcovering-hsg.py'

model = dict(longer_side=2048)
val_dataloader = dict(
    dataset=dict(
        type='mmseg.CityscapesDataset',
        data_root='data/cityscapes',
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        seg_map_suffix='_gtFine_instanceIds.png',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='mmcroc.LoadCityscapesInstances'),
            dict(type='mmcroc.PackRegions'),
        ],
    ),
)
test_dataloader = val_dataloader
