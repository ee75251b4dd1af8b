"""The optimiser wrapper's two habits, each against a plain step."""

import pytest
import torch
from torch import nn

from mmcroc.croc.optim_wrapper import SelfDistillOptimWrapper
from mmcroc.training.optimisation import GroupedOptimWrapperConstructor


def small_model():
    torch.manual_seed(0)
    return nn.ModuleDict(
        dict(trunk=nn.Linear(4, 3), norm=nn.LayerNorm(3), prototypes=nn.Linear(3, 2, bias=False))
    )


def loss_of(model, scale=1.0):
    x = torch.arange(8.0).view(2, 4)
    return scale * model['prototypes'](model['norm'](model['trunk'](x))).pow(2).sum()


def wrap(model, **kwargs):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    return SelfDistillOptimWrapper(optimizer, **kwargs)


def test_each_tensor_is_clipped_by_its_own_norm():
    model = small_model()
    loss_of(model, 100.0).backward()
    want = {}
    for name, p in model.named_parameters():
        norm = p.grad.norm()
        want[name] = p.grad * min(1.0, (3.0 / (norm + 1e-6)).item())
    assert sum((w.norm() > 2.99).item() for w in want.values()) >= 2  # several are cut
    norms = torch.stack([p.grad.norm() for p in model.parameters()])
    wrapper = wrap(model, max_tensor_norm=3.0)
    wrapper._clip_grad()
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.grad, want[name])
    torch.testing.assert_close(wrapper.log_vars['grad_norm'], norms.norm())
    torch.testing.assert_close(wrapper.log_vars['grad_norm_max_tensor'], norms.max())


def test_float16_with_loss_scaling_follows_float32():
    results = []
    for dtype in ('float32', 'float16'):
        model = small_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scale = dict(init_scale=128.0)
        wrapper = SelfDistillOptimWrapper(optimizer, amp_dtype=dtype, loss_scale=scale)
        for _ in range(3):
            with wrapper.optim_context(model):
                loss = loss_of(model)
            wrapper.update_params(loss)
        results.append(nn.utils.parameters_to_vector(model.parameters()))
    assert wrapper.loss_scaler.is_enabled() and 'loss_scaler' in wrapper.state_dict()
    start = nn.utils.parameters_to_vector(small_model().parameters())
    moved = (results[0] - start).abs().max()
    assert (results[1] - results[0]).abs().max() < 0.02 * moved


def test_autocast_is_off_on_a_cpu_by_default_and_bfloat16_if_asked_for():
    model = small_model()
    for dtype, want in (('auto', torch.float32), ('bfloat16', torch.bfloat16)):
        with wrap(model, amp_dtype=dtype).optim_context(model):
            assert model['trunk'](torch.ones(1, 4)).dtype == want


@pytest.mark.parametrize(
    ('field', 'settings'),
    [
        ('amp_dtype', dict(amp_dtype='half')),
        ('max_tensor_norm', dict(clip_grad=dict(max_norm=3))),
    ],
)
def test_wrong_settings_are_refused_by_name(field, settings):
    with pytest.raises(ValueError, match=f'optim_wrapper.{field}'):
        wrap(small_model(), **settings)


def test_merged_groups_hold_what_one_group_per_parameter_holds():
    model = small_model()
    model['norm'].requires_grad_(False)  # a frozen part is left out
    cfg = dict(
        type='mmcroc.SelfDistillOptimWrapper',
        optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.5),
    )
    paramwise = dict(bias_decay_mult=0.0, flat_decay_mult=0.0)
    groups = GroupedOptimWrapperConstructor(cfg, paramwise)(model).optimizer.param_groups
    assert len(groups) == 2
    by_name = dict(model.named_parameters())
    decay = {id(p): g['weight_decay'] for g in groups for p in g['params']}
    assert {name: decay[id(p)] for name, p in by_name.items() if id(p) in decay} == {
        'trunk.weight': 0.5,
        'trunk.bias': 0.0,
        'prototypes.weight': 0.5,
    }
