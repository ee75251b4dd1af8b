"""Vision Transformers: the names of Hugging Face's ``ViTModel`` and ``Dinov2Model``.

``ViTModel``'s are mapped to MMPretrain's, ``Dinov2Model``'s to Meta's, whose layouts (with
registers, with SwiGLU) are known. The names are those in published files, which every version of
transformers reads; in memory version 5 has shorter ones. Queries, keys and values are three layers
there, one in all others.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from mmcroc.weights.key_map import KeyMap

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

#: ``Dinov2Model`` and ``Dinov2WithRegistersModel``.
DINOV2_NAMES = KeyMap(
    "Hugging Face's Dinov2Model",
    "Meta's DINOv2 ViT",
    [
        ('embeddings.cls_token', 'cls_token'),
        ('embeddings.register_tokens', 'register_tokens'),
        ('embeddings.position_embeddings', 'pos_embed'),
        ('embeddings.patch_embeddings.projection.{wb}', 'patch_embed.proj.{wb}'),
        (BLOCK + 'norm{j}.{wb}', 'blocks.{i}.norm{j}.{wb}'),
        *(
            (BLOCK + f'attention.attention.{name}.{{wb}}', f'blocks.{{i}}.attn.{name}.{{wb}}')
            for name in QKV
        ),
        (BLOCK + 'attention.output.dense.{wb}', 'blocks.{i}.attn.proj.{wb}'),
        (BLOCK + 'layer_scale{j}.lambda1', 'blocks.{i}.ls{j}.gamma'),
        (BLOCK + 'mlp.fc{j}.{wb}', 'blocks.{i}.mlp.fc{j}.{wb}'),
        (BLOCK + 'mlp.weights_in.{wb}', 'blocks.{i}.mlp.w12.{wb}'),
        (BLOCK + 'mlp.weights_out.{wb}', 'blocks.{i}.mlp.w3.{wb}'),
        ('layernorm.{wb}', 'norm.{wb}'),
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
    return _joined(NAMES.rename(backbone))


def dinov2_from_hf(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of Hugging Face's ``Dinov2Model`` as Meta's and join q, k and v.

    Args:
        state: Of a file of it (``model.safetensors``), with registers or without. The mask token is
            left out: features do not depend on it.

    Raises:
        UnknownKeysError: They are no weights of it.
        KeyError: A block lacks its query, key or value.
    """
    backbone = {key: value for key, value in state.items() if key != 'embeddings.mask_token'}
    return _joined(DINOV2_NAMES.rename(backbone))


def _joined(renamed):
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
