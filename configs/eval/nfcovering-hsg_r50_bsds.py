# nfcovering-hsg, ResNet-50, the 100 validation images of BSDS500 with the regions that several
# people drew in each, at the images' own size: how well the regions of each level cover them.
# HSG scores its segments, fine and coarse groups; any other model spherical k-means over its
# tokens, K = model.num_clusters (8); regions:FOLDER the PNG maps of a folder. HSG's segments are
# cut along region maps with --cfg-options model.oversegmentation=FOLDER.
# No figure is published on these images: HSG's are of DensePose and Cityscapes.
# The weights: --cfg-options model.model=CHECKPOINT, or tools/evaluate.py.
_base_ = '../_base_/evaluation_runtime.py'

model = dict(
    type='mmcroc.HierarchySegmentor',
    # Images reach it as they are.
    data_preprocessor=dict(type='BaseDataPreprocessor'),
    model='random:resnet50',
    num_clusters=None,
    longer_side=512,
    oversegmentation=None,
)
val_dataloader = dict(
    batch_size=1,  # images differ in size
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
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
val_evaluator = dict(type='mmcroc.NFCovering', protocol='nfcovering-hsg')
test_evaluator = val_evaluator
val_cfg = dict()
test_cfg = dict()
