"""A tiny HSG with random weights, its checkpoint as training writes it, and its head alone."""

import numpy as np
import torch
from mmengine.config import Config

from mmcroc.hsg.head import HSGHead
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


#: Of a head's batch: side of the embedding, its channels, images.
SIDE, CHANNELS, IMAGES = 6, 8, 3


def build_head(norm_cfg=None, **settings):
    """A head without dropout, in float64."""
    torch.manual_seed(0)
    transformer = dict(
        channels=CHANNELS, num_heads=2, dropout=0.0, norm_cfg=norm_cfg or dict(type='LN')
    )
    settings = dict(dict(grid=(2, 2), kmeans_iterations=3, max_segments=40), **settings)
    return HSGHead(**dict(dict(num_groups=[4, 2], transformer=transformer), **settings)).double()


def embedded_batch(images=IMAGES, regions=4, seed=0):
    """Embedding, over-segmentation at three times its size, positions: what a head compares."""
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn(2 * images, CHANNELS, SIDE, SIDE, generator=generator).double()
    oversegmentation = torch.randint(regions, (2 * images, SIDE, SIDE), generator=generator)
    oversegmentation[1, :2] = -1
    oversegmentation = oversegmentation.repeat_interleave(3, 1).repeat_interleave(3, 2)
    position = torch.rand(CHANNELS, SIDE, SIDE, generator=generator).double()
    return embedding.requires_grad_(), oversegmentation, position.requires_grad_()


def total_loss(losses):
    """Sum of all that is called a loss."""
    return sum(value for name, value in losses.items() if name.startswith('loss'))
