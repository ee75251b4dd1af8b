"""A trained HSG as it is used frozen: at stride 8, with the position entries it was trained on."""

import logging
from collections.abc import Mapping
from math import prod

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmcroc.weights.checkpoint_content import backbone_config, config_of_text, config_text

TABLE, TRAINED = 'neck.position.row.weight', 'neck.position.trained'
#: Pixels that a ResNet's stem makes one.
STEM_STRIDE = 4
RESNETS = ('mmseg.ResNet', 'mmseg.ResNetV1c', 'mmseg.ResNetV1d')
#: Depths of ResNets of bottlenecks. MMSegmentation's basic blocks dilate only one of their two
#: convolutions.
DEPTHS = (50, 101, 152)


def at_stride_8(cfg: dict) -> dict:
    """The config of a ResNet of stride 16 at stride 8, as HSG infers (arXiv 2204.11432).

    Stage 4's stride moves into its dilation, and all that follows is dilated twice as far: the
    stride-16 map is every other pixel of the stride-8 map. ``_base_/models/hsg_r50_stride8.py`` is
    the result for HSG's ResNet-50. A config of anything but a ResNet-50, 101 or 152 of
    MMSegmentation with strides (1, 2, 2, 1) and a multi-grid stays as it is.
    """
    strides, multi_grid = tuple(cfg.get('strides', ())), cfg.get('multi_grid')
    if cfg['type'] not in RESNETS or cfg['depth'] not in DEPTHS:
        return cfg
    if strides != (1, 2, 2, 1) or not multi_grid:
        return cfg
    dilations = cfg.get('dilations', (1, 1, 1, 1))
    return dict(
        cfg,
        strides=(1, 2, 1, 1),
        dilations=(*dilations[:2], 2 * dilations[2], 2 * dilations[3]),
        contract_dilation=True,
        multi_grid=tuple(2 * dilation for dilation in multi_grid),
    )


def frozen_config(config: dict, preprocessor: dict) -> dict:
    """The config of a trained HSG as it is used frozen: at stride 8, without ``init_cfg``.

    ``config`` has ``model`` and, as far as a checkpoint has them, ``data_preprocessor`` (else it is
    ``preprocessor``) and ``default_scope``.
    """
    cfg = dict(config['model'], type='mmcroc.HSG', backbone=at_stride_8(backbone_config(config)))
    cfg.setdefault('data_preprocessor', config.get('data_preprocessor', preprocessor))
    cfg.pop('init_cfg', None)
    return cfg


def with_trained_positions(checkpoint: Mapping) -> dict[str, Tensor]:
    """A checkpoint's weights with ``neck.position.trained``.

    Checkpoints that mmcroc wrote before that buffer existed lack it. What training would have
    noted is in their config: the size of the views over the stride of the ResNet. Where the config
    does not tell, the buffer is zero, and a warning says what follows.
    """
    state = dict(checkpoint.get('state_dict', {}))
    if TABLE not in state or TRAINED in state:
        return state
    trained = _of_config(config_text(checkpoint), len(state[TABLE]))
    if trained is None:
        trained = torch.zeros(2, 2, dtype=torch.long)
        print_log(
            f'the checkpoint does not say which position entries were trained ({TRAINED}), and no '
            'config in it tells: each pixel of a map reads its own entry. At another stride than '
            "training's that is not the entry it was trained with: groups of segments may be "
            'wrong. One iteration of training that starts from the file notes them.',
            logger='current',
            level=logging.WARNING,
        )
    return {**state, TRAINED: trained}


def _of_config(text: str, num_positions: int) -> Tensor | None:
    """Entries and pixels (2, 2) that training's config implies; None where it does not tell."""
    try:
        config = config_of_text(text, ('model', 'train_dataloader'))
        if not config['model']['head'].get('num_groups', True):  # stage 1 trains no positions
            return torch.zeros(2, 2, dtype=torch.long)
        pixels = next(
            step['size']
            for step in config['train_dataloader']['dataset']['pipeline']
            if step['type'].endswith('TwoViewsWithRegions')
        )
        stride = STEM_STRIDE * prod(config['model']['backbone']['strides'])
        entries = min(-(-pixels // stride), num_positions)
        return torch.tensor([[entries, pixels]] * 2)
    except (ValueError, SyntaxError, KeyError, TypeError, StopIteration):
        return None
