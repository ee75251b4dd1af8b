"""What HSG's training has touched of its position tables, for checkpoints that do not say it."""

import logging
from collections.abc import Mapping
from math import prod

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmcroc.weights.checkpoint_config import config_of_text

TABLE, TRAINED = 'neck.position.row.weight', 'neck.position.trained'
#: Pixels that a ResNet's stem makes one.
STEM_STRIDE = 4


def with_trained_positions(checkpoint: dict, text: str, path: str) -> dict:
    """A checkpoint of HSG with ``neck.position.trained``; any other as it is.

    Checkpoints that mmcroc wrote before that buffer existed lack it. What training would have
    noted is in their config: the size of the views over the stride of the ResNet. Where the config
    does not tell, the buffer is zero, and a warning says what follows.

    Args:
        checkpoint: As read.
        text: Of the config in it, '' if there is none.
        path: For the warning.
    """
    state = checkpoint.get('state_dict')
    if not isinstance(state, Mapping) or TABLE not in state or TRAINED in state:
        return checkpoint
    trained = _of_config(text, len(state[TABLE]))
    if trained is None:
        trained = torch.zeros(2, 2, dtype=torch.long)
        print_log(
            f'{path} does not say which position entries were trained ({TRAINED}), and no config '
            'in it tells: each pixel of a map reads its own entry. At another stride than '
            "training's that is not the entry it was trained with: groups of segments may be "
            'wrong. One iteration of training that starts from the file notes them.',
            logger='current',
            level=logging.WARNING,
        )
    return dict(checkpoint, state_dict=dict(state, **{TRAINED: trained}))


def _of_config(text: str, num_positions: int) -> Tensor | None:
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
