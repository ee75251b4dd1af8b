"""Public models' shapes give their configs back; on the meta device, without memory."""

import pytest
import timm
import torch

from mmcroc.registry import MODELS
from mmcroc.weights.weight_layouts import detect_layout

DINOV2 = ['small', 'base', 'large', 'giant']
DINOV3 = ['small', 'small_plus', 'base', 'large', 'huge_plus']
NAMES = [
    'vit_small_patch8_224',
    'vit_base_patch16_224',
    'vit_large_patch16_224',
    *(f'vit_{size}_patch14_dinov2' for size in DINOV2),
    *(f'vit_{size}_patch14_reg4_dinov2' for size in DINOV2),
    *(f'vit_{size}_patch16_dinov3{bias}' for size in DINOV3 for bias in ('', '_qkvb')),
    'vit_7b_patch16_dinov3',
]


@pytest.mark.parametrize('name', NAMES)
def test_a_public_model_is_told_by_its_shapes(name):
    with torch.device('meta'):
        source = timm.create_model(name, num_classes=0)
        config, state = detect_layout(source.state_dict()).build(source.state_dict())
        backbone = MODELS.build(config)
    found = backbone.state_dict()
    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in state.items()}
    blocks = backbone.layers if hasattr(backbone, 'layers') else backbone.model.blocks
    assert blocks[0].attn.num_heads == source.blocks[0].attn.num_heads


@pytest.mark.parametrize('name', ['vit_huge_patch14_224', 'vit_giant_patch14_224'])
def test_models_whose_heads_are_of_other_widths_are_refused(name):
    with torch.device('meta'):
        state = timm.create_model(name, num_classes=0).state_dict()
        with pytest.raises(ValueError, match='attention heads is unknown'):
            detect_layout(state).build(state)
