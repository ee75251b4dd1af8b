# CrOC, ViT-S/16, on COCO+ (train2017 and unlabeled2017): 241,690 images, 8 GPUs x 32, 300 epochs.
# Expect (authors' released weights, linear mIoU, protocol linear-leopart):
#   VOC 61.6, COCO-Things 64.4, COCO-Stuff 52.2
# Not yet reproduced by a run of ours.
_base_ = 'croc_vit-s_coco.py'

train_dataloader = dict(dataset=dict(folders=['train2017', 'unlabeled2017']))
