"""DINOv3's Vision Transformers, as Meta names their weights, as ``timm``'s ``Eva`` does."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mmcroc.weights.key_map import KeyMap

LAYOUT = "Meta's DINOv3 ViT"
#: Rotary positions: periods are THETA^(4i/d) over the d dimensions of a head.
THETA = 100.0
NETWORK = KeyMap(
    LAYOUT,
    "timm's Eva",
    [
        ('cls_token', 'cls_token'),
        ('storage_tokens', 'reg_token'),
        ('patch_embed.proj.{wb}', 'patch_embed.proj.{wb}'),
        ('blocks.{i}.norm{j}.{wb}', 'blocks.{i}.norm{j}.{wb}'),
        ('blocks.{i}.attn.qkv.weight', 'blocks.{i}.attn.qkv.weight'),
        ('blocks.{i}.attn.proj.{wb}', 'blocks.{i}.attn.proj.{wb}'),
        ('blocks.{i}.ls{j}.gamma', 'blocks.{i}.gamma_{j}'),
        ('blocks.{i}.mlp.fc{j}.{wb}', 'blocks.{i}.mlp.fc{j}.{wb}'),
        ('blocks.{i}.mlp.w1.{wb}', 'blocks.{i}.mlp.fc1_g.{wb}'),
        ('blocks.{i}.mlp.w2.{wb}', 'blocks.{i}.mlp.fc1_x.{wb}'),
        ('blocks.{i}.mlp.w3.{wb}', 'blocks.{i}.mlp.fc2.{wb}'),
        ('norm.{wb}', 'norm.{wb}'),
    ],
)


def dinov3_to_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a DINOv3 ViT under the names of timm's.

    Biases of queries, keys and values become those of queries and values: the keys' are masked
    out. The norm of local crops' [CLS], of the 7B model's training, is left out.

    Args:
        state: State dict.

    Raises:
        UnknownKeysError: It holds keys that such a ViT does not have.
        ValueError: Its keys have biases, or its rotary positions are others than DINOv3's.
    """
    weights: dict[str, Tensor] = {}
    biases: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.endswith('.attn.qkv.bias'):
            mask = state.get(f'{key}_mask')
            biases |= _biases_of(key.removesuffix('qkv.bias'), value, mask)
        elif key == 'rope_embed.periods':
            _check_periods(value)
        elif not key.endswith('.qkv.bias_mask') and not key.startswith('local_cls_norm.'):
            weights[key] = value
    return NETWORK.rename(weights) | biases


def _biases_of(prefix: str, bias: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
    """Biases of queries and values, of a joint one (3C,)."""
    query, key, value = (bias if mask is None else bias * mask).chunk(3)
    if key.any():
        raise ValueError(f'{LAYOUT} with a bias of keys ({prefix}qkv.bias): timm has none')
    return {f'{prefix}q_bias': query, f'{prefix}v_bias': value}


def _check_periods(periods: Tensor) -> None:
    """Raise unless rotary periods, saved in bfloat16 (8 bits), are DINOv3's."""
    exponents = torch.arange(len(periods)) / len(periods)
    if not torch.allclose(periods.float(), THETA**exponents, rtol=2**-7):
        raise ValueError(
            f"{LAYOUT} with other rotary periods than timm's (base {THETA:g}): {periods[:3]}, ..."
        )
