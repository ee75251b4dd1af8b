# nfcovering-hsg on the 100 validation images of BSDS500 with the regions that several people drew
# in each: every region counts.
# Expect: no figure is published on these images; own small runs are in docs/zoo.md.
_base_ = '../_base_/protocols/nfcovering-hsg.py'

val_dataloader = dict(
    dataset=dict(
        type='mmcroc.BSDS500Regions',
        data_root='data/bsds500',
        split='val',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='mmcroc.LoadHumanRegions'),
            dict(type='mmcroc.PackRegions'),
        ],
    ),
)
test_dataloader = val_dataloader
