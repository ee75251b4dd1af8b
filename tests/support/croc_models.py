"""A tiny CrOC with random weights, and its checkpoint as training writes it."""

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmcroc.registry import MODELS

SIZE, PATCH, HEADS = 32, 8, 2


def croc_config(**clustering):
    """A config of a tiny CrOC: ViT of 2 heads, views of 32 pixels, patches of 8.

    Args:
        **clustering: Of the target generator.
    """
    arch = dict(embed_dims=24, num_layers=2, num_heads=HEADS, feedforward_channels=48)
    levels = dict(num_prototypes=16, num_cluster_prototypes=12)
    clustering = dict(num_start_clusters=5, max_clusters=5) | clustering
    views = dict(type='mmcroc.TwoViews', size=SIZE, scale=(0.3, 0.6))
    return dict(
        model=dict(
            type='mmcroc.CrOC',
            backbone=dict(
                type='mmcroc.VisionTransformer', arch=arch, img_size=SIZE, patch_size=PATCH
            ),
            neck=dict(
                type='mmcroc.CrOCNeck',
                in_channels=24,
                hidden_channels=32,
                bottleneck_channels=8,
                **levels,
            ),
            head=dict(type='mmcroc.CrOCHead', **levels),
            target_generator=dict(type='mmcroc.OnlineClustering', **clustering),
        ),
        data_preprocessor=dict(
            type='mmcroc.TwoViewDataPreprocessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
        ),
        train_dataloader=dict(dataset=dict(pipeline=[views, dict(type='mmcroc.PackTwoViews')])),
    )


def build_croc(seed=0, **clustering):
    """The model, training."""
    init_default_scope('mmpretrain')
    cfg = croc_config(**clustering)
    torch.manual_seed(seed)
    model = MODELS.build(dict(cfg['model'], data_preprocessor=cfg['data_preprocessor']))
    model.init_weights()
    for parameter in model.teacher['backbone'].parameters():
        # Far from its start, where all tokens are much alike.
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model


def save_croc(folder, seed=0, **clustering):
    """Write ``folder/croc.pth``; gives the model, evaluating, and the path."""
    model = build_croc(seed, **clustering)
    path = folder / 'croc.pth'
    text = Config(croc_config(**clustering)).pretty_text
    torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=text)), path)
    return model.eval(), path


SMALL = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)


def small_croc(**backbone):
    """A CrOC without cluster prototypes on a tiny ViT of patches of 8 px.

    Args:
        **backbone: Settings of the backbone.
    """
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type='mmcroc.CrOC',
            backbone=dict(type='mmcroc.VisionTransformer', arch=SMALL, img_size=32, patch_size=8,
                          **backbone),
            neck=dict(type='mmcroc.CrOCNeck', in_channels=24, num_prototypes=8,
                      num_cluster_prototypes=0),
            head=dict(type='mmcroc.CrOCHead', num_prototypes=8, num_cluster_prototypes=0),
            data_preprocessor=dict(mean=[50.0] * 3, std=[10.0] * 3),
        )
    )  # fmt: skip
