# CrOC, ViT-S/16, on the 3,131 VOC 2012 images with animals, for small real experiments:
# one GPU x 64 images, 300 epochs = 14,400 iterations, from scratch. Score it on the 7 classes
# that are well filled, never beside VOC's 21-class numbers. No figure is published for it.
_base_ = 'croc_vit-s_coco.py'

train_dataloader = dict(
    batch_size=64,
    dataset=dict(
        data_root='data/voc_animals/VOCdevkit/VOC2012',
        folders=['JPEGImages'],
        ann_file='ImageSets/Segmentation/trainaug.txt',
    ),
)
optim_wrapper = dict(optimizer=dict(lr=1.25e-4))
auto_scale_lr = dict(base_batch_size=64)
