"""timm loads it and sees the same."""

import pytest
from safetensors import safe_open
from safetensors.torch import load_file

from mmcroc.export.export import export_backbone
from mmcroc.features.pretrained_backbone import load_backbone
from mmcroc.weights.resnet_names import resnet_from_timm
from tests.support.random_models import (
    IMAGES,
    OTHER_IMAGES,
    TINY,
    as_map,
    assert_same_tokens,
    assert_same_weights,
    run_usage,
    save,
    vit_config,
)


def features(export, images=IMAGES, patch_size=16):
    found = run_usage(export, images=images)['features']
    return as_map(found, images, patch_size) if found.dim() == 3 else found


@pytest.mark.parametrize('suffix', ['.safetensors', '.pth'])
def test_timm_gives_the_same_tokens(full_size, suffix, tmp_path):
    export = export_backbone(full_size.path, 'timm', tmp_path / f'out{suffix}')
    assert_same_tokens(features(export), full_size.tokens(IMAGES))
    back = load_backbone(str(export.path))
    assert_same_weights(back.state_dict(), full_size.backbone.state_dict())


def test_timms_name_is_in_the_metadata(vit_small, tmp_path):
    path = tmp_path / 'out.safetensors'
    assert "'vit_small_patch16_224'" in export_backbone(vit_small.path, 'timm', path).usage
    with safe_open(path, 'pt') as file:
        assert file.metadata()['timm_model'] == 'vit_small_patch16_224'
        assert file.metadata()['timm_arguments'] == '{"dynamic_img_size": true, "img_size": 64}'


@pytest.mark.parametrize(
    'changes',
    [
        dict(arch=TINY, patch_size=8),
        dict(arch='deit-tiny', patch_size=8),
        dict(arch=TINY, qkv_bias=False),
        dict(arch=TINY, layer_scale_init_value=0.5),
        dict(arch=TINY, pre_norm=True),
        dict(arch=TINY, img_size=(64, 96)),
    ],
)
def test_other_vits(changes, tmp_path):
    cfg = vit_config(**changes)
    saved = save(tmp_path, cfg)
    export = export_backbone(saved.path, 'timm', tmp_path / 'out.safetensors')
    images = IMAGES if cfg['img_size'] == 64 else OTHER_IMAGES[:, :, :64].repeat(1, 1, 1, 2)
    assert_same_tokens(features(export, images, cfg['patch_size']), saved.tokens(images))


@pytest.mark.parametrize(
    'cfg',
    [
        dict(type='mmseg.ResNet', depth=18, base_channels=32),
        dict(type='mmseg.ResNetV1c', depth=50, base_channels=8),
        dict(type='mmpretrain.ResNetV1c', depth=18, base_channels=8),
        dict(type='mmpretrain.ResNetV1d', depth=50, base_channels=8),
        dict(type='mmseg.ResNetV1d', depth=34, base_channels=8),
        dict(type='mmseg.ResNet', depth=50, base_channels=8, strides=(1, 2, 1, 1),
             dilations=(1, 1, 2, 4), contract_dilation=True),
    ],
)  # fmt: skip
def test_other_resnets(cfg, tmp_path):
    saved = save(tmp_path, cfg)
    export = export_backbone(saved.path, 'timm', tmp_path / 'out.safetensors')
    assert not export.notes
    assert_same_tokens(features(export), saved.tokens(IMAGES))


def test_what_timm_cannot_say_is_said(tmp_path):
    cfg = dict(type='mmseg.ResNet', depth=50, base_channels=8, strides=(1, 2, 1, 1),
               dilations=(1, 1, 2, 2), contract_dilation=True, multi_grid=(2, 8, 16))  # fmt: skip
    saved = save(tmp_path, cfg)
    export = export_backbone(saved.path, 'timm', tmp_path / 'out.safetensors')
    assert any('stride 8' in note and 'timm cannot' in note for note in export.notes)
    weights = load_file(tmp_path / 'out.safetensors')
    assert_same_weights(resnet_from_timm(weights), saved.backbone.state_dict())


@pytest.mark.parametrize(
    ('cfg', 'why'),
    [
        (vit_config(TINY, final_norm=False), 'final_norm'),
        (
            vit_config(
                TINY,
                type='mmpretrain.VisionTransformer',
                with_cls_token=False,
                out_type='featmap',
            ),
            'with_cls_token',
        ),
        (vit_config(TINY, norm_cfg=dict(type='LN', eps=1e-3)), 'norm_eps'),
        (dict(type='mmseg.ResNet', depth=18, stem_channels=16), 'stem channels'),
        (dict(type='mmseg.ResNet', depth=50, base_channels=8, style='caffe'), '1x1'),
    ],
)
def test_what_timm_has_not_is_refused(cfg, why, tmp_path):
    saved = save(tmp_path, dict(cfg))
    with pytest.raises(ValueError, match=why):
        export_backbone(saved.path, 'timm', tmp_path / 'out.safetensors')
    assert not (tmp_path / 'out.safetensors').exists()
