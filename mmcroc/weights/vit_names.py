"""Vision Transformers: MMPretrain's names, and those of timm, Meta and Hugging Face.

DINO, iBOT and MAE name their weights as timm does, DINOv2 nearly (SwiGLU, registers, chunks of
blocks), DINOv3 as timm's ``Eva`` does, nearly too. Hugging Face's names are those in published
files, which every version of transformers reads. Queries, keys and values are three layers there,
one in all others. Register tokens are those of :class:`mmcroc.features.VisionTransformer`.

All functions raise UnknownKeysError for weights that the other layout does not have.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from mmcroc.weights.key_map import KeyMap

TIMM, MMPRETRAIN = "timm's VisionTransformer", 'mmpretrain.VisionTransformer'
TRUNK = [
    ('cls_token', 'cls_token'),
    ('reg_token', 'register_tokens'),
    ('pos_embed', 'pos_embed'),
    ('patch_embed.proj.{wb}', 'patch_embed.projection.{wb}'),
    ('norm_pre.{wb}', 'pre_norm.{wb}'),
    ('blocks.{i}.norm{j}.{wb}', 'layers.{i}.ln{j}.{wb}'),
    ('blocks.{i}.attn.qkv.{wb}', 'layers.{i}.attn.qkv.{wb}'),
    ('blocks.{i}.attn.proj.{wb}', 'layers.{i}.attn.proj.{wb}'),
    ('blocks.{i}.ls1.gamma', 'layers.{i}.attn.gamma1.weight'),
    ('blocks.{i}.ls2.gamma', 'layers.{i}.ffn.gamma2.weight'),
    ('norm.{wb}', 'ln1.{wb}'),
]
MLP = [
    ('blocks.{i}.mlp.fc1.{wb}', 'layers.{i}.ffn.layers.0.0.{wb}'),
    ('blocks.{i}.mlp.fc2.{wb}', 'layers.{i}.ffn.layers.1.{wb}'),
]
SWIGLU = [
    ('blocks.{i}.mlp.fc1.{wb}', 'layers.{i}.ffn.w12.{wb}'),
    ('blocks.{i}.mlp.fc2.{wb}', 'layers.{i}.ffn.w3.{wb}'),
]
WITH_MLP = KeyMap(TIMM, MMPRETRAIN, TRUNK + MLP)
WITH_SWIGLU = KeyMap(TIMM, MMPRETRAIN, TRUNK + SWIGLU)
#: Meta's blocks in chunks, for FSDP: blocks.0.3. is block 3; its names of SwiGLU's layers.
META = [
    (re.compile(r'^blocks\.\d+\.(\d+)\.'), r'blocks.\1.'),
    (re.compile(r'\.mlp\.w12\.'), '.mlp.fc1.'),
    (re.compile(r'\.mlp\.w3\.'), '.mlp.fc2.'),
]
#: timm's names of SwiGLU's layers, and Meta's.
META_SWIGLU = {'.mlp.fc1.': '.mlp.w12.', '.mlp.fc2.': '.mlp.w3.'}
QKV = ('query', 'key', 'value')
FUSED = 'attn.qkv.'
#: A block of Hugging Face's.
BLOCK = 'encoder.layer.{i}.'
HF_VIT = KeyMap(
    "Hugging Face's ViTModel",
    MMPRETRAIN,
    [
        ('embeddings.cls_token', 'cls_token'),
        ('embeddings.position_embeddings', 'pos_embed'),
        ('embeddings.patch_embeddings.projection.{wb}', 'patch_embed.projection.{wb}'),
        *((f'{BLOCK}attention.attention.{n}.{{wb}}', f'layers.{{i}}.attn.{n}.{{wb}}') for n in QKV),
        (BLOCK + 'attention.output.dense.{wb}', 'layers.{i}.attn.proj.{wb}'),
        (BLOCK + 'layernorm_before.{wb}', 'layers.{i}.ln1.{wb}'),
        (BLOCK + 'layernorm_after.{wb}', 'layers.{i}.ln2.{wb}'),
        (BLOCK + 'intermediate.dense.{wb}', 'layers.{i}.ffn.layers.0.0.{wb}'),
        (BLOCK + 'output.dense.{wb}', 'layers.{i}.ffn.layers.1.{wb}'),
        ('layernorm.{wb}', 'ln1.{wb}'),
    ],
)
#: ``Dinov2Model`` and ``Dinov2WithRegistersModel``.
HF_DINOV2 = KeyMap(
    "Hugging Face's Dinov2Model",
    "Meta's DINOv2 ViT",
    [
        ('embeddings.cls_token', 'cls_token'),
        ('embeddings.position_embeddings', 'pos_embed'),
        ('embeddings.register_tokens', 'register_tokens'),
        ('embeddings.patch_embeddings.projection.{wb}', 'patch_embed.proj.{wb}'),
        *((f'{BLOCK}attention.attention.{n}.{{wb}}', f'blocks.{{i}}.attn.{n}.{{wb}}') for n in QKV),
        (BLOCK + 'attention.output.dense.{wb}', 'blocks.{i}.attn.proj.{wb}'),
        (BLOCK + 'norm{j}.{wb}', 'blocks.{i}.norm{j}.{wb}'),
        (BLOCK + 'layer_scale{j}.lambda1', 'blocks.{i}.ls{j}.gamma'),
        (BLOCK + 'mlp.fc{j}.{wb}', 'blocks.{i}.mlp.fc{j}.{wb}'),
        (BLOCK + 'mlp.weights_in.{wb}', 'blocks.{i}.mlp.w12.{wb}'),
        (BLOCK + 'mlp.weights_out.{wb}', 'blocks.{i}.mlp.w3.{wb}'),
        ('layernorm.{wb}', 'norm.{wb}'),
    ],
)
DINOV3 = "Meta's DINOv3 ViT"
#: Rotary positions: periods are THETA^(4i/d) over the d dimensions of a head.
THETA = 100.0
DINOV3_NAMES = KeyMap(
    DINOV3,
    "timm's Eva",
    [
        ('storage_tokens', 'reg_token'),
        ('blocks.{i}.ls{j}.gamma', 'blocks.{i}.gamma_{j}'),
        ('blocks.{i}.mlp.w1.{wb}', 'blocks.{i}.mlp.fc1_g.{wb}'),
        ('blocks.{i}.mlp.w2.{wb}', 'blocks.{i}.mlp.fc1_x.{wb}'),
        ('blocks.{i}.mlp.w3.{wb}', 'blocks.{i}.mlp.fc2.{wb}'),
        *((name, name) for name in (
            'cls_token', 'patch_embed.proj.{wb}', 'norm.{wb}', 'blocks.{i}.norm{j}.{wb}',
            'blocks.{i}.attn.qkv.weight', 'blocks.{i}.attn.proj.{wb}', 'blocks.{i}.mlp.fc{j}.{wb}',
        )),
    ],
)  # fmt: skip


def vit_from_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of timm's ``VisionTransformer`` or Meta's DINOv2 as MMPretrain's.

    Blocks may be chunked; a classifier is unknown. timm keeps SwiGLU under the names of an MLP; the
    first layer, twice as wide as the second one's input, tells it. timm's models with registers
    have positions of patches alone: [CLS] gets 0.
    """
    weights = {}
    for key, value in state.items():
        for old, new in META:
            key = old.sub(new, key)
        weights[key] = value
    if 'register_tokens' in weights:
        weights['reg_token'] = weights.pop('register_tokens')
    elif 'reg_token' in weights:
        positions = weights['pos_embed']
        weights['pos_embed'] = torch.cat([torch.zeros_like(positions[:, :1]), positions], 1)
    first, second = (weights.get(f'blocks.0.mlp.fc{layer}.weight') for layer in (1, 2))
    is_swiglu = first is not None and second is not None and len(first) == 2 * second.shape[1]
    return (WITH_SWIGLU if is_swiglu else WITH_MLP).rename(weights)


def vit_to_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of ``mmpretrain.VisionTransformer`` or ours as timm's."""
    is_swiglu = any('.ffn.w12.' in key for key in state)
    weights = (WITH_SWIGLU if is_swiglu else WITH_MLP).inverse().rename(state)
    if 'reg_token' in weights:  # positions of patches alone
        positions = weights['pos_embed']
        weights['cls_token'] = weights['cls_token'] + positions[:, :1]
        weights['pos_embed'] = positions[:, 1:]
    return weights


def vit_from_hf(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of Hugging Face's ``ViTModel``, without its pooler, as MMPretrain's."""
    return _joined(HF_VIT.rename({k: v for k, v in state.items() if not k.startswith('pooler.')}))


def dinov2_from_hf(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of Hugging Face's ``Dinov2Model``, without mask token, as MMPretrain's."""
    weights = {key: value for key, value in state.items() if key != 'embeddings.mask_token'}
    return vit_from_timm(_joined(HF_DINOV2.rename(weights)))


def _joined(renamed: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights with queries, keys and values as one layer; a KeyError if one lacks."""
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
    """Rename the weights of ``mmpretrain.VisionTransformer`` as Hugging Face's ``ViTModel``'s."""
    return HF_VIT.inverse().rename(_split(state))


def dinov2_to_hf(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of ``mmpretrain.VisionTransformer`` or ours as ``Dinov2Model``'s.

    Its token for masked patches, which features do not depend on, is 0.
    """
    is_swiglu = any('.ffn.w12.' in key for key in state)
    weights = (WITH_SWIGLU if is_swiglu else WITH_MLP).inverse().rename(state)
    for ours, theirs in META_SWIGLU.items() if is_swiglu else ():
        weights = {key.replace(ours, theirs): value for key, value in weights.items()}
    if 'reg_token' in weights:
        weights['register_tokens'] = weights.pop('reg_token')
    mask = torch.zeros_like(weights['cls_token'][:, 0])
    return HF_DINOV2.inverse().rename(_split(weights)) | {'embeddings.mask_token': mask}


def _split(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights with queries, keys and values as three layers."""
    split = {}
    for key, value in weights.items():
        head, is_fused, kind = key.rpartition(FUSED)
        if is_fused:
            parts = zip(QKV, value.chunk(3), strict=True)
            split.update({f'{head}attn.{name}.{kind}': part.clone() for name, part in parts})
        else:
            split[key] = value
    return split


def dinov3_to_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of Meta's DINOv3 ViT as those of timm's ``Eva``.

    Biases of queries, keys and values become those of queries and values: the keys' are masked
    out. The norm of local crops' [CLS], of the 7B model's training, is left out.

    Raises:
        ValueError: Its keys have biases, or its rotary positions are others than DINOv3's.
    """
    weights: dict[str, Tensor] = {}
    biases: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.endswith('.attn.qkv.bias'):
            prefix = key.removesuffix('qkv.bias')
            queries, keys, values = (value * state.get(f'{key}_mask', 1)).chunk(3)
            if keys.any():
                raise ValueError(f'{DINOV3} with a bias of keys ({key}): timm has none')
            biases |= {f'{prefix}q_bias': queries, f'{prefix}v_bias': values}
        elif key == 'rope_embed.periods':
            usual = THETA ** (torch.arange(len(value)) / len(value))
            if not torch.allclose(value.float(), usual, rtol=2**-7):  # saved in bfloat16 (8 bits)
                raise ValueError(
                    f"{DINOV3} with other rotary periods than timm's (base {THETA:g}): "
                    f'{value[:3]}, ...'
                )
        elif not key.endswith('.qkv.bias_mask') and not key.startswith('local_cls_norm.'):
            weights[key] = value
    return DINOV3_NAMES.rename(weights) | biases
