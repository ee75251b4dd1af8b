"""Vision Transformers: timm's names and MMPretrain's.

DINO, iBOT and DINOv2 name their weights as timm does (DINOv2's SwiGLU apart,
:mod:`mmcroc.weights.dinov2`).
"""

from collections.abc import Mapping

from torch import Tensor

from mmcroc.weights.key_map import KeyMap

TIMM, MMPRETRAIN = "timm's VisionTransformer", 'mmpretrain.VisionTransformer'
TRUNK = [
    ('cls_token', 'cls_token'),
    ('pos_embed', 'pos_embed'),
    ('patch_embed.proj.{wb}', 'patch_embed.projection.{wb}'),
    ('norm_pre.{wb}', 'pre_norm.{wb}'),
    ('blocks.{i}.norm1.{wb}', 'layers.{i}.ln1.{wb}'),
    ('blocks.{i}.attn.qkv.{wb}', 'layers.{i}.attn.qkv.{wb}'),
    ('blocks.{i}.attn.proj.{wb}', 'layers.{i}.attn.proj.{wb}'),
    ('blocks.{i}.ls1.gamma', 'layers.{i}.attn.gamma1.weight'),
    ('blocks.{i}.norm2.{wb}', 'layers.{i}.ln2.{wb}'),
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


def vit_from_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of timm's ``VisionTransformer`` as MMPretrain's.

    Values are the same. timm keeps SwiGLU under the names of an MLP; the first layer, twice as wide
    as the second one's input, tells it.

    Args:
        state: Its state dict, without a classifier (``num_classes=0``).

    Raises:
        UnknownKeysError: MMPretrain has no such weights: register tokens, a classifier.
    """
    first, second = state.get('blocks.0.mlp.fc1.weight'), state.get('blocks.0.mlp.fc2.weight')
    is_swiglu = first is not None and second is not None and len(first) == 2 * second.shape[1]
    return (WITH_SWIGLU if is_swiglu else WITH_MLP).rename(state)


def vit_to_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of ``mmpretrain.VisionTransformer`` as timm's.

    Args:
        state: Its state dict; of ``out_type='avg_featmap'`` without the norm of the average.

    Raises:
        UnknownKeysError: They are no weights of it.
    """
    is_swiglu = any('.ffn.w12.' in key for key in state)
    return (WITH_SWIGLU if is_swiglu else WITH_MLP).inverse().rename(state)
