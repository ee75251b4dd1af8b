"""A tiny HSG with random weights, and its checkpoint as training writes it."""

import numpy as np
import torch
from mmengine.config import Config

from mmcroc.registry import MODELS
from tests.support.images import smooth_image

BACKBONE = dict(
    type='mmseg.ResNet',
    depth=50,
    stem_channels=4,
    base_channels=4,
    strides=(1, 2, 2, 1),
    dilations=(1, 1, 1, 1),
    multi_grid=(1, 4, 8),
    out_indices=(3,),
)
PREPROCESSOR = dict(
    type='mmcroc.RegionViewDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
)


def hsg_config(num_groups=(4, 2), grid=(3, 3), **changes):
    """A config of a tiny HSG: embeddings of 16 channels, stride 16.

    Args:
        num_groups: Of ``HSGHead``.
        grid: Of ``HSGHead``.
        **changes: Of ``model``.
    """
    transformer = dict(channels=16, num_heads=2, num_encoder_layers=1, num_decoder_layers=1)
    model = dict(
        type='mmcroc.HSG',
        backbone=dict(BACKBONE),
        neck=dict(type='mmcroc.HSGNeck', in_channels=128, out_channels=16),
        head=dict(
            type='mmcroc.HSGHead',
            num_groups=list(num_groups),
            transformer=transformer,
            grid=grid,
            kmeans_iterations=3,
            max_segments=64,
        ),
    )
    return dict(model=dict(model, **changes), data_preprocessor=PREPROCESSOR)


def save_hsg(folder, seed=0, **settings):
    """Write ``folder/hsg.pth``; gives the model, evaluating, and the path."""
    cfg = hsg_config(**settings)
    torch.manual_seed(seed)
    model = MODELS.build(dict(cfg['model'], data_preprocessor=cfg['data_preprocessor']))
    settle_statistics(model)
    path = folder / 'hsg.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=dict(cfg=Config(cfg).pretty_text)), path)
    model.eval()
    return model, path


def settle_statistics(model):
    """Batch statistics of drawn images: with a fresh model's, all segments fall into one group."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = None  # the plain average
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
    images = np.stack([smooth_image(64, 64, seed) for seed in range(8)])
    inputs = model.data_preprocessor(dict(inputs=torch.from_numpy(images).permute(0, 3, 1, 2)))
    with torch.no_grad():
        model.train().loss(inputs['inputs'], None, torch.zeros(8, 64, 64, dtype=torch.long))
    for norm in norms:
        norm.momentum = 0.1
