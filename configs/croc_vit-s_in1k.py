# CrOC, ViT-S/16, on ImageNet-1k: 1,281,167 images, 8 GPUs x 128, 300 epochs.
# Expect (paper and authors' released weights, linear mIoU, protocol linear-leopart):
#   VOC 70.6, COCO-Things 66.1, COCO-Stuff 52.6
# Not yet reproduced by a run of ours.
_base_ = 'croc_vit-s_coco.py'

train_dataloader = dict(batch_size=128, dataset=dict(data_root='data/imagenet', folders=['train']))
optim_wrapper = dict(optimizer=dict(lr=2e-3))
auto_scale_lr = dict(base_batch_size=1024)
