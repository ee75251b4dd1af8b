# nfcovering-hsg, ResNet-50, the 100 validation images of BSDS500 with the regions that several
# people drew in each: every region counts. No figure is published on these images.
# The weights: --cfg-options model.model=CHECKPOINT, or tools/evaluate.py.
_base_ = ['../_base_/protocols/nfcovering-hsg.py', '../_base_/evaluation_runtime.py']

regions = dict(
    type='mmcroc.BSDS500Regions',
    data_root='data/bsds500',
    split='val',
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='mmcroc.LoadHumanRegions'),
        dict(type='mmcroc.PackRegions'),
    ],
)
val_dataloader = dict(dataset=regions)
test_dataloader = dict(dataset=regions)
