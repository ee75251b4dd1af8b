# CrOC post-training of DINOv2's ViT-S/14 on the 3,131 VOC 2012 images with animals, one GPU x 64,
# 25 epochs = 1,200 steps. Labels serve the guard alone: probes before training, every 5 epochs and
# at the end, on the 222 validation images. What to expect: docs/post-training.md.
_base_ = ['croc_vit-s14_folder_post-dinov2.py', '_base_/probes/voc-animals.py']

data_root = 'data/voc_animals/VOCdevkit/VOC2012'
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        folders=['JPEGImages'],
        ann_file='ImageSets/Segmentation/trainaug.txt',
    ),
)
default_hooks = dict(
    checkpoint=dict(save_best='hummingbird-probe/mIoU'),
    before_after=dict(
        allowed_loss={
            'hummingbird-probe/mIoU': 0.05,
            'linear-ridge-probe/mIoU': 0.05,
            'knn-image-probe/mAP': 0.05,
        }
    ),
)
