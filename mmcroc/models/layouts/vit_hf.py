"""Vision Transformers: the names of Hugging Face's ``ViTModel`` and MMPretrain's.

The names are those in published files, which every version of transformers reads; in memory
version 5 has shorter ones. Queries, keys and values are three layers there, one in MMPretrain.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from .key_map import KeyMap

HUGGING_FACE, MMPRETRAIN = "Hugging Face's ViTModel", 'mmpretrain.VisionTransformer'
QKV = ('query', 'key', 'value')
BLOCK = 'encoder.layer.{i}.'
FUSED = 'attn.qkv.'
NAMES = KeyMap(
    HUGGING_FACE,
    MMPRETRAIN,
    [
        ('embeddings.cls_token', 'cls_token'),
        ('embeddings.position_embeddings', 'pos_embed'),
        ('embeddings.patch_embeddings.projection.{wb}', 'patch_embed.projection.{wb}'),
        (BLOCK + 'layernorm_before.{wb}', 'layers.{i}.ln1.{wb}'),
        *(
            (BLOCK + f'attention.attention.{name}.{{wb}}', f'layers.{{i}}.attn.{name}.{{wb}}')
            for name in QKV
        ),
        (BLOCK + 'attention.output.dense.{wb}', 'layers.{i}.attn.proj.{wb}'),
        (BLOCK + 'layernorm_after.{wb}', 'layers.{i}.ln2.{wb}'),
        (BLOCK + 'intermediate.dense.{wb}', 'layers.{i}.ffn.layers.0.0.{wb}'),
        (BLOCK + 'output.dense.{wb}', 'layers.{i}.ffn.layers.1.{wb}'),
        ('layernorm.{wb}', 'ln1.{wb}'),
    ],
)


def vit_from_hf(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of Hugging Face's ``ViTModel`` as MMPretrain's and join q, k and v.

    Args:
        state: Of a file of it (``model.safetensors``). A pooler is left out: it is no part of the
            backbone.

    Raises:
        UnknownKeysError: They are no weights of it.
        KeyError: A block lacks its query, key or value.
    """
    backbone = {key: value for key, value in state.items() if not key.startswith('pooler.')}
    renamed = NAMES.rename(backbone)
    joined = {}
    for key, value in renamed.items():
        head, is_query, kind = key.rpartition('attn.query.')
        if is_query:
            parts = [renamed[f'{head}attn.{name}.{kind}'] for name in QKV]
            joined[f'{head}{FUSED}{kind}'] = torch.cat(parts)
        elif not any(f'.attn.{name}.' in key for name in QKV):
            joined[key] = value
    return joined


def vit_to_hf(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of ``mmpretrain.VisionTransformer`` as Hugging Face's ``ViTModel``'s.

    Args:
        state: Its state dict.

    Raises:
        UnknownKeysError: ``ViTModel`` has no such weights: layer scale, a norm before the blocks.
    """
    split = {}
    for key, value in state.items():
        head, is_fused, kind = key.rpartition(FUSED)
        if is_fused:
            parts = zip(QKV, value.chunk(3), strict=True)
            split.update({f'{head}attn.{name}.{kind}': part.clone() for name, part in parts})
        else:
            split[key] = value
    return NAMES.inverse().rename(split)
