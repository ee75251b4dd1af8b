# CrOC post-training of DINOv3's ViT-S/16 on COCO train2017: 118,287 images, one GPU x 64, 5 epochs
# = 9,240 steps. Its weights are given out by Meta, on request: put the file where init_cfg says, or
# name another, --backbone FILE. What to expect: docs/post-training.md; not yet run.
_base_ = '_base_/schedules/post_training.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmcroc.TimmVisionTransformer',
        model_name='vit_small_patch16_dinov3_qkvb',
        pretrained=False,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='checkpoints/dinov3_vits16_pretrain_lvd1689m-08c60483.pth',
            prefix='backbone.',
        ),
    ),
)
train_cfg = dict(max_epochs=5, val_interval=1)
default_hooks = dict(checkpoint=dict(interval=1), token_pictures=dict(interval=1))
