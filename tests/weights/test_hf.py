"""Hugging Face's names; the models themselves are tried in tests/apis/exporting."""

import pytest
import torch

from mmcroc.registry import MODELS
from mmcroc.weights.key_map import UnknownKeysError
from mmcroc.weights.resnet_names import resnet_from_hf, resnet_to_hf
from mmcroc.weights.vit_names import vit_from_hf, vit_to_hf

VIT = dict(
    type='mmpretrain.VisionTransformer',
    arch=dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=16),
    img_size=32,
)


def state_of(cfg):
    torch.manual_seed(0)
    state = MODELS.build(cfg).state_dict()
    return {key: torch.randn(value.shape) for key, value in state.items()}


def test_queries_keys_and_values_are_taken_apart_in_this_order():
    qkv = torch.arange(12.0).reshape(6, 2)
    split = vit_to_hf({'layers.3.attn.qkv.weight': qkv})
    for place, name in enumerate(('query', 'key', 'value')):
        part = split[f'encoder.layer.3.attention.attention.{name}.weight']
        assert torch.equal(part, qkv[2 * place : 2 * place + 2])
    assert torch.equal(vit_from_hf(split)['layers.3.attn.qkv.weight'], qkv)


@pytest.mark.parametrize(
    ('cfg', 'there', 'back'),
    [
        (VIT, vit_to_hf, vit_from_hf),
        (dict(VIT, qkv_bias=False), vit_to_hf, vit_from_hf),
        (dict(type='mmseg.ResNet', depth=50, base_channels=2), resnet_to_hf, resnet_from_hf),
    ],
)
def test_there_and_back_is_the_same(cfg, there, back):
    state = state_of(cfg)
    renamed = there(state)
    assert not set(renamed) & set(state)
    found = back(renamed)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)


def test_a_pooler_is_left_out_and_other_keys_are_named():
    state = vit_to_hf(state_of(VIT))
    state['pooler.dense.weight'] = torch.zeros(1)
    assert not any('pooler' in key for key in vit_from_hf(state))
    with pytest.raises(UnknownKeysError, match=r'classifier\.weight'):
        vit_from_hf({'classifier.weight': torch.zeros(1)})
    with pytest.raises(UnknownKeysError, match='gamma1'):
        vit_to_hf(state_of(dict(VIT, layer_scale_init_value=0.1)))
    with pytest.raises(UnknownKeysError, match='stem'):
        resnet_to_hf(state_of(dict(type='mmseg.ResNetV1c', depth=18, base_channels=2)))
