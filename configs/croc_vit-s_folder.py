# CrOC, ViT-S/16, on any folder of images: nested, unlabelled, no list needed.
# Set the folder here or with --data-root; 8 GPUs x 32 images, 300 epochs (other batches:
# --auto-scale-lr). What to expect depends on the images.
_base_ = 'croc_vit-s_coco.py'

data_root = 'data/images'
train_dataloader = dict(dataset=dict(data_root=data_root, folders=None))
