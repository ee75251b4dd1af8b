"""Learning rates and weight decays of parameters."""

import pytest
from mmengine.optim import build_optim_wrapper
from torch import nn

import mmcroc  # noqa: F401


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
