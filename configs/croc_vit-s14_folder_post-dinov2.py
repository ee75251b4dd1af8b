# CrOC post-training of DINOv2's ViT-S/14 on any folder of images, one GPU x 64, 25 epochs.
# Another start, of any size: --backbone MODEL (hf:FOLDER, timm:NAME, a checkpoint), which brings
# its architecture. What to expect depends on start and images: docs/post-training.md.
_base_ = '_base_/schedules/post_training.py'

model = dict(
    backbone=dict(
        arch='dinov2-small',
        img_size=518,
        patch_size=14,
        layer_scale_init_value=1e-5,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/'
            'dinov2_vits14_pretrain.pth',
            prefix='backbone.',
        ),
    ),
)
data_root = 'data/images'
train_dataloader = dict(dataset=dict(data_root=data_root, folders=None))
