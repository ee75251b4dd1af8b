# Protocol nfcovering-hsg: how well the regions of each level of a hierarchy cover the true regions.
# Those of the foreground, at the images' own size: mean over true regions of the best IoU, over
# annotators, over images (Ke et al., CVPR 2022). HSG scores its segments, fine and coarse groups;
# any other model spherical k-means over its tokens, K = model.num_clusters (8); regions:FOLDER the
# PNG maps of a folder. HSG's segments are cut along region maps with --cfg-options
# model.oversegmentation=FOLDER.
_base_ = '../evaluation_runtime.py'

model = dict(
    type='mmcroc.HierarchySegmentor',
    # Images reach it as they are.
    data_preprocessor=dict(type='BaseDataPreprocessor'),
    model=None,  # to be named
    num_clusters=None,
    longer_side=512,
    oversegmentation=None,
)
val_dataloader = dict(
    batch_size=1,  # images differ in size
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='mmcroc.NFCovering', protocol='nfcovering-hsg')
test_evaluator = val_evaluator
val_cfg = dict()
test_cfg = dict()
