"""Files as others write them, told by their keys."""

import copy
import functools

import pytest
import timm
import torch
import torchvision
from mmpretrain.apis import ModelHub
from safetensors.torch import save_file

from mmcroc.features.dense_tokens import dense_tokens
from mmcroc.features.pretrained_backbone import load_backbone
from mmcroc.weights.vit_names import vit_from_timm
from tests.support.weight_files import (
    DINOV2,
    GIANT,
    PATCH,
    dino_checkpoint,
    vit,
    with_prefix,
)

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def patch_tokens(model):
    """(B, C, h, w)"""
    tokens = model.forward_features(IMAGES)[:, model.num_prefix_tokens :]
    return tokens.mT.unflatten(-1, (32 // PATCH, 32 // PATCH))


def loaded_tokens(name):
    backbone = load_backbone(str(name))
    backbone.eval()
    return dense_tokens(backbone, IMAGES)


def check(name, source):
    with torch.no_grad():
        want = patch_tokens(source)
        assert want.std() > 0.1
        torch.testing.assert_close(loaded_tokens(name), want, rtol=0, atol=1e-5)


def test_both_networks_of_dino_are_had(tmp_path):
    path = tmp_path / 'dino.pth'
    teacher, student = vit(1), vit(2)
    torch.save(dino_checkpoint(teacher, student), path)
    check(path, teacher)
    check(f'{path}:teacher', teacher)
    check(f'{path}:student', student)
    with pytest.raises(ValueError, match=r"not 'head'"):
        load_backbone(f'{path}:head')


@pytest.mark.parametrize(
    'wrap',
    [
        dict,
        lambda state: dict(state_dict=with_prefix('module.', state)),
        lambda state: dict(model={**state, 'head.weight': torch.zeros(9, 128)}, epoch=1),
        lambda state: dict(state_dict=with_prefix('backbone.', state), optimizer={}),
        lambda state: dict(model=state, model_ema=vit(3).state_dict()),
    ],
    ids=['bare', 'wrapped', 'with a classifier', 'among others', 'with an average'],
)
def test_one_network_is_found_wherever_programs_put_it(tmp_path, wrap):
    path = tmp_path / 'weights.pth'
    source = vit()
    content = wrap(source.state_dict())
    torch.save(content, path)
    check(path, vit(3) if 'model_ema' in content else source)
    if 'model_ema' not in content:
        with pytest.raises(ValueError, match='holds one network, no student'):
            load_backbone(f'{path}:student')


@pytest.mark.parametrize('changes', [dict(qkv_bias=False), dict(pre_norm=True)])
def test_biases_and_a_first_norm_are_told(tmp_path, changes):
    source = vit(**changes)
    torch.save(source.state_dict(), tmp_path / 'weights.pth')
    check(tmp_path / 'weights.pth', source)


@pytest.mark.parametrize('layout', ['timm', 'mmpretrain'])
def test_safetensors_of_both_libraries_are_read(tmp_path, layout):
    path = tmp_path / 'weights.safetensors'
    source = vit()
    state = source.state_dict()
    save_file(state if layout == 'timm' else vit_from_timm(state), path)
    check(path, source)


def dinov2_state(source, chunked=False):
    """As Meta names and chunks it."""
    state = {'mask_token': torch.zeros(1, 128)}
    for key, value in source.state_dict().items():
        if source.blocks[0].mlp.fc1.out_features == 2 * source.blocks[0].mlp.fc2.in_features:
            key = key.replace('mlp.fc1', 'mlp.w12').replace('mlp.fc2', 'mlp.w3')
        state[key.replace('blocks.', 'blocks.0.') if chunked else key] = value
    return state


@pytest.mark.parametrize('changes', [DINOV2, GIANT], ids=['mlp', 'swiglu'])
@pytest.mark.parametrize('chunked', [False, True])
def test_dinov2_is_read_in_chunks_and_with_swiglu(tmp_path, changes, chunked):
    source = vit(**changes)
    path = tmp_path / 'dinov2.pth'
    torch.save(dinov2_state(source, chunked), path)
    check(path, source)
    torch.save(dict(teacher=with_prefix('backbone.', dinov2_state(source, chunked))), path)
    check(path, source)


@pytest.mark.parametrize('changes', [DINOV2, GIANT], ids=['mlp', 'swiglu'])
def test_dinov2_with_registers_gives_what_timm_gives(tmp_path, changes):
    source = vit(reg_tokens=4, no_embed_class=True, **changes)
    path = tmp_path / 'registers.pth'
    torch.save(source.state_dict(), path)
    check(path, source)
    state = dinov2_state(source)
    # Meta's positions have one of [CLS]; timm's own conversion is the oracle.
    state['register_tokens'] = state.pop('reg_token')
    state['pos_embed'] = torch.cat([torch.randn(1, 1, 128), state['pos_embed']], dim=1)
    torch.save(state, path)
    converted = timm.models.vision_transformer.checkpoint_filter_fn(dict(state), source)
    source.load_state_dict(converted)
    check(path, source)


def check_resnet(path, source):
    source.eval()
    torch.save(source.state_dict(), path)
    with torch.no_grad():
        want = torch.nn.Sequential(*list(source.children())[:-2])(IMAGES)
        torch.testing.assert_close(loaded_tokens(path), want, rtol=1e-5, atol=1e-5)


def test_resnets_of_torchvision_are_read_without_their_classifier(tmp_path):
    check_resnet(tmp_path / 'resnet.pth', torchvision.models.resnet18())


@pytest.mark.parametrize('name', ['resnet50', 'resnet50c', 'resnet50d'])
def test_resnets_of_timm_are_read_with_their_stems(tmp_path, name):
    """Narrow ones: their widths are told as well."""
    source = timm.create_model(name, channels=(8, 16, 32, 64), num_classes=5)
    check_resnet(tmp_path / 'resnet.pth', source)


def changed(state, **changes):
    state = dict(state)
    for key, value in changes.items():
        key = key.replace('__', '.')
        if value is None:
            del state[key]
        else:
            state[key] = value
    return state


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        (dict(blocks__1__norm1__bias=None), r'another architecture.*layers\.1\.ln1\.bias'),
        (dict(extra__weight=torch.zeros(1)), r'not keys of .*extra\.weight'),
        (dict(dist_token=torch.zeros(1)), r'not keys of .*dist_token'),
        (dict(cls_token=None), r'no known layout.*DINOv3.*HSG'),
        (dict(pos_embed=torch.zeros(1, 14, 128)), '13 patches are of no square image'),
        (dict(blocks__0__mlp__fc1__weight=None), r"without 'layers\.0\.ffn\.layers\.0\.0\.weight'"),
    ],
)
def test_nothing_is_loaded_partly(tmp_path, changes, reason):
    path = tmp_path / 'weights.pth'
    torch.save(changed(vit().state_dict(), **changes), path)
    with pytest.raises(ValueError, match=rf'(?s)weights\.pth.*{reason}'):
        load_backbone(str(path))


def test_widths_whose_heads_are_unknown_are_refused(tmp_path):
    path = tmp_path / 'weights.pth'
    for dims in (96, 1280):  # no multiple of 64; ViT-H's heads have 80
        torch.save(vit(embed_dim=dims, depth=1).state_dict(), path)
        with pytest.raises(ValueError, match=f'{dims} channels .*attention heads is unknown'):
            load_backbone(str(path))


def test_other_resnets_are_refused(tmp_path):
    path = tmp_path / 'weights.pth'
    state = torchvision.models.resnet18().state_dict()
    torch.save({**state, 'layer1.2.conv1.weight': torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r'stages of \(3, 2, 2, 2\) blocks is none of depth 18'):
        load_backbone(str(path))
    torch.save({**state, 'layer1.0.conv2.weight': torch.zeros(128, 128, 3, 3)}, path)
    with pytest.raises(ValueError, match='another architecture'):
        load_backbone(str(path))


def test_what_was_found_is_logged(tmp_path, monkeypatch):
    from mmcroc.features import pretrained_backbone

    said = []
    monkeypatch.setattr(
        pretrained_backbone, 'print_log', functools.partial(lambda text, **_: said.append(text))
    )
    torch.save(dino_checkpoint(vit(1), vit(2)), tmp_path / 'dino.pth')
    load_backbone(f'{tmp_path / "dino.pth"}:student')
    assert len(said) == 1 and "timm's layout" in said[0] and said[0].endswith('; student')


def test_weights_of_a_file_fit_an_mmpretrain_name(tmp_path, monkeypatch):
    name = 'resnet18_8xb32_in1k'
    source = torchvision.models.resnet18().state_dict()
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=with_prefix('backbone.', source)), path)
    with pytest.raises(ValueError, match=r'(?s)another architecture.*fc\.weight'):
        load_backbone(f'{name}@{path}')
    source = {key: value for key, value in source.items() if not key.startswith('fc.')}
    torch.save(dict(state_dict=with_prefix('backbone.', source)), path)

    # Its own weights are downloaded once.
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    info = ModelHub.get(name)
    for weights in (path.as_uri(), 'file:///nowhere/weights.pth'):
        monkeypatch.setattr(ModelHub, 'get', lambda _, url=weights: info_with(info, url))
        loaded = load_backbone(name).state_dict()
        assert all(torch.equal(value, loaded[key]) for key, value in source.items())
    monkeypatch.setattr(ModelHub, 'get', lambda _: info_with(info, 'file:///nowhere/other.pth'))
    with pytest.raises(OSError, match=r'other\.pth cannot be downloaded'):
        load_backbone(name)
    monkeypatch.setattr(ModelHub, 'get', lambda _: info_with(info, None))
    with pytest.raises(ValueError, match=f'no weights of {name}'):
        load_backbone(name)


def info_with(info, url):
    info = copy.copy(info)
    info.weights = url
    return info
