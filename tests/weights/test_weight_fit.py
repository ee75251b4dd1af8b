"""Weights that a training starts from fit whole, or are refused with what would help."""

import copy
import re

import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import load_checkpoint

from mmcroc.registry import MODELS
from mmcroc.weights.vit_names import vit_from_timm
from mmcroc.weights.weight_fit import UnfitWeightsError
from tests.support.croc_models import build_croc, croc_config
from tests.support.hsg_models import hsg_config

VIT = dict(type='mmcroc.VisionTransformer', img_size=32, patch_size=8)
ARCH = dict(embed_dims=64, num_layers=2, num_heads=2, feedforward_channels=128)


def saved(tmp_path, state, prefix=''):
    """Write weights; gives the path."""
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict={prefix + key: value for key, value in state.items()}), path)
    return str(path)


def backbone(**settings):
    torch.manual_seed(7)
    return MODELS.build({**VIT, 'arch': ARCH, **settings})


def croc(init_cfg=None, model_init_cfg=None, **backbone_settings):
    """A CrOC on the backbone above, initialised as MMEngine's Runner does."""
    init_default_scope('mmpretrain')
    cfg = Config(croc_config())
    cfg.model.backbone = {**VIT, 'arch': ARCH, **backbone_settings}
    cfg.model.neck.in_channels = ARCH['embed_dims']
    if init_cfg:
        cfg.model.backbone.init_cfg = init_cfg
    cfg.model.init_cfg = model_init_cfg
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    model.init_weights()
    return model


def assert_same(module, state):
    own = module.state_dict()
    assert own.keys() == state.keys()
    assert all(torch.equal(own[key], value) for key, value in state.items())


def assert_teacher_is_the_student(model):
    for part, teacher in model.teacher.items():
        assert_same(teacher, getattr(model, part).state_dict())


def test_a_teacher_that_is_not_among_the_weights_is_the_students_copy(tmp_path):
    want = backbone().state_dict()
    model = croc()
    load_checkpoint(model, saved(tmp_path, want, 'backbone.'))
    assert_same(model.backbone, want)
    assert_teacher_is_the_student(model)


def test_a_checkpoint_of_the_student_alone_gives_the_teacher_its_heads_too(tmp_path):
    source = build_croc(1).state_dict()
    student = {key: value for key, value in source.items() if not key.startswith('teacher.')}
    model = build_croc(0)
    load_checkpoint(model, saved(tmp_path, student))
    assert_teacher_is_the_student(model)
    assert torch.equal(model.teacher['neck'].mlp[0].weight, source['neck.mlp.0.weight'])


@pytest.mark.parametrize('by', ['load_from', 'init_cfg'])
def test_a_whole_checkpoint_keeps_its_own_teacher(tmp_path, by):
    want = croc(drop_path_rate=0.1).state_dict()
    want = {key: torch.randn_like(value) for key, value in want.items()}
    path = saved(tmp_path, want)
    if by == 'load_from':
        model = croc()
        load_checkpoint(model, path)
    else:
        model = croc(model_init_cfg=dict(type='Pretrained', checkpoint=path))
    assert_same(model, want)


@pytest.mark.parametrize('as_list', [True, False])
def test_init_cfg_of_the_backbone_gives_both_networks_the_weights(tmp_path, as_list):
    """Positions too: MMPretrain draws them anew where init_cfg is a list."""
    want = backbone().state_dict()
    init_cfg = dict(type='Pretrained', checkpoint=saved(tmp_path, want))
    model = croc(init_cfg=[init_cfg] if as_list else init_cfg)
    assert_same(model.backbone, want)
    assert_teacher_is_the_student(model)


def test_positions_of_another_grid_fit(tmp_path):
    source = backbone(img_size=64).state_dict()
    model = croc()
    load_checkpoint(model, saved(tmp_path, source, 'backbone.'))
    assert model.backbone.pos_embed.shape[1] == 1 + 4 * 4
    assert torch.equal(model.backbone.pos_embed[:, 0], source['pos_embed'][:, 0])
    assert_teacher_is_the_student(model)


def test_heads_that_are_new_and_heads_that_are_left_out_are_named(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr('mmcroc.weights.weight_fit.print_log', lambda text, **_: said.append(text))
    state = {f'backbone.{key}': value for key, value in backbone().state_dict().items()}
    state['head.fc.weight'] = torch.zeros(3, 3)
    load_checkpoint(croc(), saved(tmp_path, state))
    new, left = said
    assert all(name in new for name in ('neck.mlp (6)', 'neck.prototypes (1)', 'head.center (1)'))
    assert 'backbone' not in new and 'head.fc (1)' in left


WRONG = {
    'another patch size': (dict(patch_size=4, img_size=16), 'patch_size=4'),
    'layer scale': (dict(layer_scale_init_value=1e-5), 'layer_scale_init_value=1e-05'),
    'fewer layers': (dict(arch=dict(ARCH, num_layers=1)), "'num_layers': 1"),
    'a named architecture': (dict(arch='deit-tiny'), "arch='deit-tiny'"),
}


@pytest.mark.parametrize('by', ['load_from', 'init_cfg'])
@pytest.mark.parametrize('name', WRONG)
def test_another_architecture_is_refused_with_the_settings_that_fit(tmp_path, name, by):
    settings, cure = WRONG[name]
    path = saved(tmp_path, backbone(**settings).state_dict(), 'backbone.')
    with pytest.raises(UnfitWeightsError, match=rf'give the backbone .*{cure}'):
        if by == 'load_from':
            load_checkpoint(croc(), path)
        else:
            croc(init_cfg=dict(type='Pretrained', checkpoint=path, prefix='backbone.'))


def test_weights_without_the_layer_scale_that_the_config_has_are_refused(tmp_path):
    path = saved(tmp_path, backbone().state_dict(), 'backbone.')
    with pytest.raises(UnfitWeightsError, match=r'4 of its \d+ .*layer_scale_init_value=0\.0'):
        load_checkpoint(croc(layer_scale_init_value=1e-5), path)


@pytest.mark.parametrize('by', ['load_from', 'init_cfg'])
def test_a_released_layout_is_refused_with_its_converter(tmp_path, by):
    released = timm.create_model('vit_tiny_patch16_224', num_classes=0, depth=1).state_dict()
    path = saved(tmp_path, released)
    with pytest.raises(UnfitWeightsError, match=r"timm's layout.*to_mmpretrain\.py"):
        if by == 'load_from':
            load_checkpoint(croc(), path)
        else:
            croc(init_cfg=dict(type='Pretrained', checkpoint=path))


def test_the_checkpoint_of_crocs_authors_is_refused_with_its_converter(fixtures_dir):
    with pytest.raises(UnfitWeightsError, match=r'released CrOC.*to_mmpretrain\.py'):
        load_checkpoint(croc(), str(fixtures_dir / 'croc_checkpoint_tiny.pth'))


def test_init_cfg_without_the_prefix_is_refused_with_it(tmp_path):
    path = saved(tmp_path, croc().state_dict())
    with pytest.raises(UnfitWeightsError, match=r"prefix='teacher\.backbone\.' or prefix='back"):
        croc(init_cfg=dict(type='Pretrained', checkpoint=path))


@pytest.mark.parametrize(
    ('prefix', 'cure'), [('', r'FILE\)'), ('teacher.backbone.', r"prefix='teacher\.backbone\.'\)")]
)
def test_load_from_of_a_bare_backbone_is_refused_with_init_cfg(tmp_path, prefix, cure):
    path = saved(tmp_path, backbone().state_dict(), prefix)
    with pytest.raises(UnfitWeightsError, match=rf'model\.backbone\.init_cfg=.*{cure}'):
        load_checkpoint(croc(), path)


def test_registers_are_converted_and_taken_by_a_backbone_with_as_many(tmp_path):
    released = timm.models.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=64, depth=2, num_heads=2, mlp_ratio=2, num_classes=0,
        reg_tokens=4, no_embed_class=True,
    )  # fmt: skip
    with pytest.raises(UnfitWeightsError, match=r'to_mmpretrain\.py'):
        load_checkpoint(croc(), saved(tmp_path, released.state_dict()))
    state = vit_from_timm(released.state_dict())
    path = saved(tmp_path, state, 'backbone.')
    with pytest.raises(UnfitWeightsError, match=r'give the backbone .*num_registers=4'):
        load_checkpoint(croc(), path)
    model = croc(num_registers=4, position_antialias=True)
    load_checkpoint(model, path)
    assert_same(model.backbone, state)
    assert_teacher_is_the_student(model)


@pytest.mark.parametrize('network', ['backbone.', 'teacher.backbone.'])
def test_a_tensor_that_either_network_lacks_is_named_and_nothing_is_loaded(tmp_path, network):
    state = {key: torch.ones_like(value) for key, value in croc().state_dict().items()}
    del state[f'{network}layers.1.ln1.weight']
    model = croc()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(UnfitWeightsError, match=rf'\({network[:-1]}\): 1 of .*layers\.1\.ln1\.w'):
        load_checkpoint(model, saved(tmp_path, state))
    if network == 'backbone.':
        assert_same(model, before)


def test_a_copy_of_the_model_refuses_by_itself(tmp_path):
    """Hooks are copied with it: its teacher, not the original's, becomes its student's copy."""
    model = croc()
    twin = copy.deepcopy(model)
    before = copy.deepcopy(model.state_dict())
    load_checkpoint(twin, saved(tmp_path, backbone().state_dict(), 'backbone.'))
    assert_teacher_is_the_student(twin)
    assert_same(model, before)
    with pytest.raises(UnfitWeightsError):
        load_checkpoint(twin, saved(tmp_path, backbone(patch_size=4).state_dict(), 'backbone.'))


def hsg(**changes):
    init_default_scope('mmpretrain')
    cfg = hsg_config(**changes)
    torch.manual_seed(0)
    return MODELS.build(dict(cfg['model'], data_preprocessor=cfg['data_preprocessor']))


STAGE_1 = dict(type='mmcroc.HSGHead', num_groups=[], grid=(1, 1), kmeans_iterations=1)


def test_hsgs_stage_2_starts_from_stage_1_with_new_levels_that_are_named(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr('mmcroc.weights.weight_fit.print_log', lambda text, **_: said.append(text))
    want = {key: torch.rand_like(value) if value.is_floating_point() else value
            for key, value in hsg(head=STAGE_1).state_dict().items()}  # fmt: skip
    model = hsg()
    load_checkpoint(model, saved(tmp_path, want))
    own = model.state_dict()
    assert all(torch.equal(own[key], value) for key, value in want.items())
    (new,) = said
    assert new.startswith('HSG: not among') and re.search(r'head\.levels \(\d+\)$', new)


def test_hsg_takes_a_backbones_weights_with_their_classifier(tmp_path):
    """As torchvision's: bare, with ``fc``, to the backbone's init_cfg."""
    state = dict(hsg().backbone.state_dict())
    want = {key: torch.rand_like(v) if v.is_floating_point() else v for key, v in state.items()}
    path = saved(tmp_path, {**want, 'fc.weight': torch.zeros(3, 128), 'fc.bias': torch.zeros(3)})
    model = hsg()
    model.backbone.init_cfg = dict(type='Pretrained', checkpoint=path)
    model.init_weights()
    assert_same(model.backbone, want)
    with pytest.raises(UnfitWeightsError, match=r'instead of load_from, take model\.backbone'):
        load_checkpoint(hsg(), path)


def test_hsg_refuses_another_depth_with_the_setting(tmp_path):
    other = hsg_config()['model']['backbone'] | dict(depth=101)
    path = saved(tmp_path, MODELS.build(other).state_dict(), 'backbone.')
    with pytest.raises(UnfitWeightsError, match=r'give the backbone depth=101'):
        load_checkpoint(hsg(), path)
