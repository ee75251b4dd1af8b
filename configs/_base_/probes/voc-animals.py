# Probe of post-training on the animals of Pascal VOC 2012 (7 classes, 222 validation images).
# Numbers in percent:
#   clustering-probe      k-means of all validation tokens, K = classes, Hungarian match, mean IoU
#   overclustering-probe  the same with 100 clusters, each mapped to the class of most of its pixels
#   linear-ridge-probe    a linear classifier in closed form, fitted on all training images
#   hummingbird-probe     each token takes the labels of its 30 nearest ones in all training images,
#                         and in samples of an eighth and a 64th of them
#   knn-image-probe       mAP of telling which animals an image shows, by its 20 nearest training
#                         images (mean tokens)
# On images squashed to 448x448 (MMCROC_IMAGE_SIZE in the environment: another size). Labels serve
# the measuring alone. Inherit it beside a pretraining config and say how often:
# train_cfg = dict(val_interval=10).
image_size = {{'$MMCROC_IMAGE_SIZE:448'}}
probe_pipeline = [
    dict(type='mmcroc.LoadRGBImage'),
    dict(type='mmcroc.LoadMappedAnnotations'),
    dict(type='mmseg.Resize', scale=(image_size, image_size), keep_ratio=False),
    dict(type='mmseg.PackSegInputs'),
]
images = dict(
    type='mmcroc.VOCAnimalsDataset',
    data_root='data/voc_animals/VOCdevkit/VOC2012',
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassAug'),
    pipeline=probe_pipeline,
)
val_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(images, ann_file='ImageSets/Segmentation/val.txt'),
)
train_images = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(images, ann_file='ImageSets/Segmentation/trainaug.txt'),
)
clustering = dict(
    type='mmcroc.ClusteringIoU',
    protocol='clustering-probe',
    algorithm='k-means++',
    num_restarts=2,
    max_init_points=50000,
    seeds=[0, 1, 2],
    map_size=100,
)
val_evaluator = [
    clustering,
    dict(clustering, protocol='overclustering-probe', num_clusters=100, matching='precision'),
    dict(
        type='mmcroc.LinearRidgeIoU', protocol='linear-ridge-probe', train_dataloader=train_images
    ),
    dict(
        type='mmcroc.HummingbirdIoU',
        protocol='hummingbird-probe',
        train_dataloader=train_images,
        memory_dtype='float16',
        fractions=[1, 8, 64],
    ),
    dict(type='mmcroc.KNNImageAP', protocol='knn-image-probe', train_dataloader=train_images),
]
val_cfg = dict()
