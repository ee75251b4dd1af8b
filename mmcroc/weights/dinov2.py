"""DINOv2's Vision Transformers, as Meta names their weights."""

import re
from collections.abc import Mapping

from torch import Tensor

#: Blocks in chunks, for FSDP: blocks.0.3. is block 3.
CHUNK = re.compile(r'^blocks\.\d+\.(\d+)\.')
#: timm's names of SwiGLU's layers.
SWIGLU = {'.mlp.w12.': '.mlp.fc1.', '.mlp.w3.': '.mlp.fc2.'}


def dinov2_to_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a DINOv2 ViT under timm's names.

    With registers, the position of [CLS] is added to it: timm's register models give positions to
    patches alone.

    Args:
        state: Its state dict, blocks chunked or not. DINO's and iBOT's, which are timm's already,
            pass unchanged.
    """
    renamed = {}
    for key, value in state.items():
        key = CHUNK.sub(r'blocks.\1.', key)
        for old, new in SWIGLU.items():
            key = key.replace(old, new)
        renamed[key] = value
    if 'register_tokens' in renamed:
        renamed['reg_token'] = renamed.pop('register_tokens')
        positions = renamed['pos_embed']
        renamed['cls_token'] = renamed['cls_token'] + positions[:, :1]
        renamed['pos_embed'] = positions[:, 1:]
    return renamed
