"""Learning rates and weight decays of parameters."""

import pytest
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmcroc.features.vision_transformer import VisionTransformer
from mmcroc.registry import MODELS


@pytest.fixture
def model():
    model = nn.ModuleDict(
        dict(
            conv=nn.Conv2d(2, 2, 1),
            norm=nn.BatchNorm2d(2),
            attention=nn.MultiheadAttention(2, 1),
            levels=nn.Linear(2, 2),
        )
    )
    model['frozen'] = nn.Linear(2, 2).requires_grad_(False)
    return model


def settings(model, paramwise_cfg):
    """(learning rate, weight decay) by parameter."""
    wrapper = build_optim_wrapper(
        model,
        dict(
            constructor='mmcroc.GroupedOptimWrapperConstructor',
            optimizer=dict(type='SGD', lr=1.0, weight_decay=0.5),
            paramwise_cfg=paramwise_cfg,
        ),
    )
    names = {id(p): name for name, p in model.named_parameters()}
    groups = wrapper.optimizer.param_groups
    found = {names[id(p)]: (g['lr'], g['weight_decay']) for g in groups for p in g['params']}
    return found, len(groups)


def test_the_factors_of_biases_and_of_their_modules_multiply(model):
    found, groups = settings(
        model,
        dict(
            every_bias=dict(lr_mult=2.0, decay_mult=0.0),
            custom_keys={'levels': dict(lr_mult=10.0)},
        ),
    )
    for name in ('conv.bias', 'norm.bias', 'attention.in_proj_bias', 'attention.out_proj.bias'):
        assert found[name] == (2.0, 0.0), name
    for name in ('conv.weight', 'norm.weight', 'attention.in_proj_weight'):
        assert found[name] == (1.0, 0.5), name
    assert found['levels.weight'] == (10.0, 0.5)
    assert found['levels.bias'] == (20.0, 0.0)
    assert groups == 4


def test_each_trained_parameter_is_there_once(model):
    found, _ = settings(model, dict(bias_lr_mult=3.0))
    assert set(found) == {name for name, p in model.named_parameters() if p.requires_grad}


def test_the_backbone_has_its_own_rate_and_layer_decay():
    """Biases, norms and other entries keep their rules."""
    arch = dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=8)
    vit = VisionTransformer(arch=arch, img_size=16, patch_size=8, num_registers=1)
    model = nn.ModuleDict(dict(backbone=vit, neck=nn.Linear(2, 2)))
    found, _ = settings(
        model, dict(backbone_lr_mult=0.1, layer_decay_rate=0.5, bias_decay_mult=0.0)
    )
    stem = 0.1 * 0.5**3
    want = {
        'neck.weight': (1.0, 0.5),
        'neck.bias': (1.0, 0.0),
        'backbone.ln1.weight': (0.1, 0.5),
        'backbone.layers.1.attn.qkv.weight': (0.05, 0.5),
        'backbone.layers.1.attn.qkv.bias': (0.05, 0.0),
        'backbone.layers.0.attn.qkv.weight': (0.025, 0.5),
        **{f'backbone.{name}': (stem, 0.5) for name in ('cls_token', 'pos_embed')},
        'backbone.register_tokens': (stem, 0.5),
        'backbone.patch_embed.projection.weight': (stem, 0.5),
    }
    for name, values in want.items():
        assert found[name] == pytest.approx(values), name


def test_layer_decay_knows_timms_blocks():
    backbone = MODELS.build(
        dict(type='mmcroc.TimmVisionTransformer', model_name='vit_small_patch16_dinov3_qkvb',
             pretrained=False, settings=dict(embed_dim=32, depth=2, num_heads=2))
    )  # fmt: skip
    depths = {
        name: backbone.get_layer_depth(f'backbone.{name}', 'backbone.')[0]
        for name, _ in backbone.named_parameters()
    }
    assert depths['model.cls_token'] == depths['model.reg_token'] == 0
    assert depths['model.patch_embed.proj.weight'] == 0
    assert depths['model.blocks.0.attn.qkv.weight'] == 1
    assert depths['model.blocks.1.mlp.fc1.weight'] == 2
    assert depths['model.norm.weight'] == 3
    assert backbone.get_layer_depth('neck.mlp.0.weight', 'backbone.') == (3, 4)
