# CrOC post-training of DINO's ViT-S/16 on COCO train2017: 118,287 images, one GPU x 64, 5 epochs =
# 9,240 steps. What to expect: docs/post-training.md; not yet run.
_base_ = '_base_/schedules/post_training.py'

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://dl.fbaipublicfiles.com/dino/dino_deitsmall16_pretrain/'
            'dino_deitsmall16_pretrain.pth',
            prefix='backbone.',
        ),
    ),
)
train_cfg = dict(max_epochs=5, val_interval=1)
default_hooks = dict(checkpoint=dict(interval=1), token_pictures=dict(interval=1))
