# Protocol clustering-leopart: no training. Validation images squashed to 448x448 (Pillow's
# bilinear, antialiased); all tokens standardised, 50 principal components, faiss's k-means with
# K = classes (random starts, trained on 256 K sampled tokens, 100 iterations, best of 5 starts by
# that sample), maps and masks compared at 100x100, Hungarian matching over the whole set, mean IoU
# over all classes, a class without pixels counting 0; mean and spread over five seeds. ResNets at
# stride 16. What differs from Leopart's code: docs/protocols.md.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmcroc.LoadMappedAnnotations'),
    dict(type='mmseg.Resize', scale=(448, 448), keep_ratio=False, backend='pillow'),
    dict(type='mmseg.PackSegInputs'),
]
model = dict(
    type='mmcroc.FeatureSegmentor',
    data_preprocessor=dict(
        type='mmseg.SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type='mmcroc.PretrainedBackbone',
        model=None,  # to be named
        resnet_stride=16,
    ),
)
val_evaluator = dict(
    type='mmcroc.ClusteringIoU',
    protocol='clustering-leopart',
    num_clusters='classes',
    pca_dim=50,
    num_iterations=100,
    num_restarts=5,
    algorithm='faiss',
    seeds=[0, 1, 2, 3, 4],
    map_size=100,
    matching='hungarian',
    absent='zero',
)
test_evaluator = val_evaluator
val_cfg = dict()
test_cfg = dict()
