# CrOC post-training of DINOv2's ViT-S/14 with registers on COCO train2017: 118,287 images, one GPU
# x 64, 5 epochs = 9,240 steps. What to expect: docs/post-training.md; not yet run.
_base_ = '_base_/schedules/post_training.py'

model = dict(
    backbone=dict(
        arch='dinov2-small',
        img_size=518,
        patch_size=14,
        layer_scale_init_value=1e-5,
        num_registers=4,
        position_antialias=True,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/'
            'dinov2_vits14_reg4_pretrain.pth',
            prefix='backbone.',
        ),
    ),
)
train_cfg = dict(max_epochs=5, val_interval=1)
default_hooks = dict(checkpoint=dict(interval=1), token_pictures=dict(interval=1))
