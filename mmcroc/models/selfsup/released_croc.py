"""Key names of the checkpoints that CrOC's authors released."""

import re

from torch import Tensor

#: (pattern of a released key, our name), in the order they are tried
RELEASED_KEYS = [
    (r'^backbone\.patch_embed\.proj\.', 'backbone.patch_embed.projection.'),
    (r'^backbone\.blocks\.(\d+)\.norm([12])\.', r'backbone.layers.\1.ln\2.'),
    (r'^backbone\.blocks\.(\d+)\.attn\.', r'backbone.layers.\1.attn.'),
    (r'^backbone\.blocks\.(\d+)\.mlp\.fc1\.', r'backbone.layers.\1.ffn.layers.0.0.'),
    (r'^backbone\.blocks\.(\d+)\.mlp\.fc2\.', r'backbone.layers.\1.ffn.layers.1.'),
    (r'^backbone\.norm\.', 'backbone.ln1.'),
    (r'^backbone\.(cls_token|pos_embed)$', r'backbone.\1'),
    (r'^head\.mlp\.', 'neck.mlp.'),
    (r'^head\.last_layer\.weight_v$', 'neck.prototypes.weight'),
    (r'^head\.last_layer_c\.weight_v$', 'neck.cluster_prototypes.weight'),
]
#: The fixed gain of the last layers, which our unit-norm prototypes do without.
GAINS = ('head.last_layer.weight_g', 'head.last_layer_c.weight_g')


def convert_released_network(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename one released network (student or teacher) to ``backbone.*`` and ``neck.*``.

    Args:
        state: Its state dict, with or without ``module.`` before every key.

    Returns:
        State dict under our names.

    Raises:
        KeyError: A key is not one of a released CrOC network.
        ValueError: A last layer's gain is not 1.
    """
    converted = {}
    for key, value in state.items():
        key = key.removeprefix('module.')
        if key in GAINS:
            if not (value == 1).all():
                raise ValueError(f'{key} is not 1 throughout: not a released CrOC checkpoint')
            continue
        for pattern, name in RELEASED_KEYS:
            renamed, found = re.subn(pattern, name, key)
            if found:
                converted[renamed] = value
                break
        else:
            raise KeyError(f'{key} is not a key of a released CrOC network')
    return converted
