# nfcovering-hsg, ResNet-50, the 500 validation images of Cityscapes, the instances as foreground;
# stuff and groups that are not told apart do not count. HSG's longer side here is 2048.
# The weights: --cfg-options model.model=CHECKPOINT, or tools/evaluate.py.
_base_ = ['../_base_/protocols/nfcovering-hsg.py', '../_base_/evaluation_runtime.py']

model = dict(longer_side=2048)
regions = dict(
    type='mmseg.CityscapesDataset',
    data_root='data/cityscapes',
    data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
    seg_map_suffix='_gtFine_instanceIds.png',
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='mmcroc.LoadCityscapesInstances'),
        dict(type='mmcroc.PackRegions'),
    ],
)
val_dataloader = dict(dataset=regions)
test_dataloader = dict(dataset=regions)
