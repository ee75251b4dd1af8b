# CrOC, ViT-S/16, on COCO train2017 without labels: 118,287 images, 8 GPUs x 32, 300 epochs.
# Expect (authors' released weights, linear mIoU, protocol linear-leopart):
#   VOC 54.9, COCO-Things 55.7, COCO-Stuff 49.9
# Not yet reproduced by a run of ours.
_base_ = [
    '_base_/models/croc_vit-s.py',
    '_base_/datasets/two_views.py',
    '_base_/schedules/adamw_300e.py',
    '_base_/default_runtime.py',
]

# Before training and every 10 epochs: work_dir/pictures.
default_hooks = dict(token_pictures=dict(type='mmcroc.TokenPicturesHook', interval=10))
