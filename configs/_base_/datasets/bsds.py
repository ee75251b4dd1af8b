# BSDS500 with the regions that several people drew in each image: 100 validation images, every
# region counts.
region_set = dict(
    type='mmcroc.BSDS500Regions',
    data_root='data/bsds500',
    split='val',
    pipeline=[
        dict(type='mmcroc.LoadWholeImage'),
        dict(type='mmcroc.LoadHumanRegions'),
        dict(type='mmcroc.PackRegions'),
    ],
)
