"""Which of the networks in a checkpoint is meant, and where its weights are."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

#: Where programs put a state dict: exponential moving averages first, as timm does.
CONTAINERS = ('state_dict_ema', 'model_ema', 'state_dict', 'model', 'module')
#: What wrappers put before every key.
WRAPPERS = ('module.', '_orig_mod.')
#: Where a backbone's weights are among those of other modules.
TEACHER, BACKBONE = 'teacher.backbone.', 'backbone.'
#: Weights in a backbone's state dict that are none of its features': classifiers and projections,
#: mask tokens (DINOv2; iBOT), MAE's decoder.
NOT_FEATURES = ('head.', 'fc.', 'mask_token', 'masked_embed', 'decoder_')


class Network(NamedTuple):
    """Weights of one network.

    Attributes:
        state: State dict, without prefixes.
        role: ``'teacher'``, ``'student'``, or ``'backbone'`` of the only one.
    """

    state: dict[str, Tensor]
    role: str


def backbone_weights(checkpoint: Mapping, part: str = '') -> Network:
    """The weights of a backbone in a checkpoint; modules beside it are left behind.

    Args:
        checkpoint: Content of the file: networks under ``teacher`` and ``student`` (DINO, iBOT,
            DINOv2, CrOC), one state dict under any of ``CONTAINERS``, or a bare state dict.
        part: ``'student'`` or ``'teacher'`` where there are both; default: the teacher, it is what
            one evaluates.

    Raises:
        ValueError: There is no such network.
    """
    wanted = '' if part == 'backbone' else part
    networks = {
        name: checkpoint[name]
        for name in ('teacher', 'student')
        if isinstance(checkpoint.get(name), Mapping)
    }
    if networks:
        name = wanted or next(iter(networks))
        if name not in networks:
            raise ValueError(f'it holds no {name}, only a {next(iter(networks))}')
        state = _unwrapped(networks[name])
        return Network(below(BACKBONE, state) or state, name)
    container = next((c for c in CONTAINERS if isinstance(checkpoint.get(c), Mapping)), None)
    state = _unwrapped(checkpoint[container] if container else checkpoint)
    if not state:
        raise ValueError(f'it holds no weights, only {", ".join(map(str, checkpoint))[:200]!r}')
    teacher = below(TEACHER, state)
    if teacher:
        name = wanted or 'teacher'
        return Network(teacher if name == 'teacher' else below(BACKBONE, state), name)
    if wanted:
        raise ValueError(f'it holds one network, no {wanted}')
    return Network(below(BACKBONE, state) or state, 'backbone')


def without_heads(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that a backbone's features depend on: all but ``NOT_FEATURES``."""
    return {key: value for key, value in state.items() if not key.startswith(NOT_FEATURES)}


def below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights whose names begin with a prefix, without it."""
    return {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }


def _unwrapped(state: Mapping) -> dict[str, Tensor]:
    """Tensors of a state dict without the prefixes of wrappers."""
    state = {key: value for key, value in state.items() if torch.is_tensor(value)}
    for prefix in WRAPPERS:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state
