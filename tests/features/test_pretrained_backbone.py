"""Backbones by their names."""

import pytest
import timm
import torch
from mmengine.config import Config

from mmcroc.features.dense_tokens import dense_tokens
from mmcroc.features.pretrained_backbone import load_backbone
from mmcroc.registry import MODELS
from tests.support.croc_models import small_croc
from tests.support.weight_files import evaluated

IMAGES = torch.randn(2, 3, 112, 224, generator=torch.Generator().manual_seed(0))
SMALL = dict(embed_dims=128, num_layers=2, num_heads=2, feedforward_channels=256)


@pytest.mark.parametrize(
    ('model', 'shape'),
    [
        ('random', (384, 7, 14)),
        ('random:deit-tiny/8', (192, 14, 28)),
        ('random:deit-tiny/14', (192, 8, 16)),
        ('random:resnet18', (512, 4, 7)),
        ('rgb', (5, 7, 14)),
    ],
)
def test_any_kind_and_patch_size_gives_a_map(model, shape):
    tokens = dense_tokens(load_backbone(model), IMAGES)
    assert tuple(tokens.shape[1:]) == shape


def test_random_weights_follow_their_seed():
    one, same, other = (load_backbone('random:deit-tiny', seed) for seed in (1, 1, 2))
    assert torch.equal(one.layers[1].attn.qkv.weight, same.layers[1].attn.qkv.weight)
    assert not torch.equal(one.layers[1].attn.qkv.weight, other.layers[1].attn.qkv.weight)


def test_colour_and_position_are_those_of_each_patch():
    features = load_backbone('rgb')(IMAGES)[0]
    torch.testing.assert_close(features[1, :3, 2, 3], IMAGES[1, :, 32:48, 48:64].mean((1, 2)))
    torch.testing.assert_close(features[0, 3:, 0, 13], torch.tensor([-6 / 7, 13 / 14]))


def saved(tmp_path, state, **cfg):
    path = tmp_path / 'checkpoint.pth'
    meta = dict(meta=dict(cfg=Config(cfg).pretty_text)) if cfg else {}
    torch.save(dict(state_dict=state, **meta), path)
    return str(path)


def test_a_pretraining_checkpoint_gives_its_teacher(tmp_path):
    model = small_croc()
    model.backbone.patch_embed.projection.weight.data.zero_()
    cfg = dict(model=dict(type='mmcroc.CrOC', backbone=dict(
        type='mmcroc.VisionTransformer', img_size=32, patch_size=8,
        arch=dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48),
    )), default_scope='mmpretrain')  # fmt: skip
    loaded = evaluated(load_backbone(saved(tmp_path, model.state_dict(), **cfg)))
    want = dense_tokens(evaluated(model.teacher['backbone']), IMAGES)
    torch.testing.assert_close(dense_tokens(loaded, IMAGES), want)


def test_an_mmpretrain_checkpoint_gives_its_backbone(tmp_path):
    backbone = dict(type='VisionTransformer', arch=SMALL, img_size=64, patch_size=16)
    source = MODELS.build(dict(backbone, type='mmpretrain.VisionTransformer', out_type='featmap'))
    state = {f'backbone.{key}': value for key, value in source.state_dict().items()}
    state['head.fc.weight'] = torch.zeros(3, 3)
    path = saved(tmp_path, state, model=dict(type='ImageClassifier', backbone=backbone))
    loaded = evaluated(load_backbone(path))
    torch.testing.assert_close(loaded(IMAGES)[0], evaluated(source)(IMAGES)[0])


def test_bare_weights_of_a_vision_transformer_do(tmp_path):
    source = MODELS.build(dict(type='mmcroc.VisionTransformer', arch=SMALL, img_size=64,
                               patch_size=8))  # fmt: skip
    loaded = evaluated(load_backbone(saved(tmp_path, source.state_dict())))
    torch.testing.assert_close(
        dense_tokens(loaded, IMAGES), dense_tokens(evaluated(source), IMAGES)
    )


@pytest.mark.parametrize('name', ['vit_tiny_patch16_224', 'resnet18'])
def test_timm_models_with_weights_of_a_file(name, tmp_path):
    torch.manual_seed(0)
    source = timm.create_model(name, num_classes=0).eval()
    torch.save(source.state_dict(), tmp_path / 'weights.pth')
    loaded = load_backbone(f'timm:{name}@{tmp_path / "weights.pth"}').eval()
    images = torch.randn(1, 3, 224, 224)
    want = source.forward_features(images)
    tokens = loaded(images)[0]
    if want.dim() == 3:
        want = want[:, 1:].mT.reshape(tokens.shape)
    torch.testing.assert_close(tokens, want)
    assert loaded(IMAGES)[0].shape[-2:] == ((7, 14) if 'vit' in name else (4, 7))


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path):
    source = MODELS.build(dict(type='mmcroc.VisionTransformer', arch=SMALL, img_size=64))
    other = dict(type='mmcroc.VisionTransformer', arch='deit-tiny', img_size=64)
    path = saved(tmp_path, source.state_dict(), model=dict(type='mmcroc.CrOC', backbone=other))
    with pytest.raises(ValueError, match='another architecture'):
        load_backbone(path)
    path = saved(tmp_path, {'conv1.weight': torch.zeros(1)})
    with pytest.raises(ValueError, match=r'conv1\.weight'):
        load_backbone(path)


def test_names_that_mean_nothing_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='missing'):
        load_backbone(str(tmp_path / 'missing.pth'))
    with pytest.raises(ValueError, match='list_models'):
        load_backbone('no-such-model')


def test_code_in_a_checkpoints_config_is_not_run(tmp_path):
    text = "model = dict(backbone=dict(type=__import__('os').system('false')))"
    path = tmp_path / 'checkpoint.pth'
    torch.save(dict(state_dict={'a': torch.zeros(1)}, meta=dict(cfg=text)), path)
    with pytest.raises(ValueError, match='malformed'):
        load_backbone(str(path))


def test_it_stays_frozen_and_knows_its_channels():
    backbone = MODELS.build(dict(type='mmcroc.PretrainedBackbone', model='random:deit-tiny'))
    assert (backbone.channels, backbone.stride) == (192, 16)
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    backbone.train().init_weights()
    assert not backbone.training and not any(p.requires_grad for p in backbone.parameters())
    assert all(torch.equal(v, before[k]) for k, v in backbone.state_dict().items())


@pytest.mark.parametrize('model', ['random:resnet50', 'random:resnet18', 'rgb', 'random:deit-tiny'])
def test_resnets_can_keep_stride_16_and_nothing_else_changes(model):
    plain, dilated = (
        MODELS.build(dict(type='mmcroc.PretrainedBackbone', model=model, resnet_stride=stride))
        for stride in (None, 16)
    )
    assert dilated.stride == 16 and dilated.channels == plain.channels
    if 'resnet' not in model:
        assert torch.equal(dilated(IMAGES)[0], plain(IMAGES)[0])


def test_position_offset_of_a_model_that_resizes_by_itself_is_refused():
    with pytest.raises(ValueError, match='takes a Vision Transformer of mmcroc, but rgb'):
        MODELS.build(dict(type='mmcroc.PretrainedBackbone', model='rgb', position_offset=0.1))
