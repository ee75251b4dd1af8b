# Protocol retrieval-hsg: segments take the label of their 20 nearest labelled training segments. No
# training. Images keep their ratio, longer side 512, padded to 512x512. Features are upsampled to
# that size and clustered image by image with their location (spherical k-means from a 6x6 grid, 15
# iterations, padding left out). A segment of a validation image takes the majority label of its 20
# nearest segments of training images by cosine; its pixels inherit it, resized (nearest) to the
# mask's own size. Mean IoU over all classes, and pixel accuracy. As HSG (Ke et al., CVPR 2022);
# other data sets have other sizes and grids.
#
# Features at full resolution take 400 MB per image (384 channels), 5 times that in k-means, and on
# a CPU seconds per image. test_evaluator.stride=4 clusters every fourth pixel of every fourth row:
# a sixteenth of both, and on 30 images of VOC's animals the same mean IoU within 0.03 points.
# test_evaluator.memory_file=memory/{model}.npz keeps the training segments for the next time.
_base_ = '../evaluation_runtime.py'

test_pipeline = [
    dict(type='mmcroc.LoadWholeImage'),
    dict(type='Resize', scale=(512, 512), keep_ratio=True),
    dict(type='mmcroc.PadImage', size=(512, 512), value=(104, 116, 124)),
    # After resizing: the mask keeps the file's size.
    dict(type='mmcroc.LoadMappedAnnotations'),
    dict(type='PackSegInputs'),
]
model = dict(
    # Pads the input further to whole patches; the metric cuts that off again.
    type='mmcroc.PaddedFeatureSegmentor',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(type='mmcroc.PretrainedBackbone', model=None),  # to be named
)
val_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='mmcroc.SegmentRetrievalIoU',
    protocol='retrieval-hsg',
    train_dataloader=dict(batch_size=8, num_workers=8, persistent_workers=True),
    train_pipeline=test_pipeline,
    grid=(6, 6),
    num_iterations=15,
    num_neighbours=20,
    absent='zero',
)
test_evaluator = val_evaluator
val_cfg = dict()
test_cfg = dict()
