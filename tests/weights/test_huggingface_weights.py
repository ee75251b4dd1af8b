"""Folders of Hugging Face's become checkpoints of MMPretrain's, and trainings start from them."""

import json

import pytest
import torch
import transformers
from mmengine.runner.checkpoint import load_checkpoint

from mmcroc.export.mm_checkpoint import convert_checkpoint
from mmcroc.features.pretrained_backbone import load_backbone
from mmcroc.registry import MODELS
from mmcroc.training.checkpoints import safe_checkpoint_reading
from mmcroc.weights.weight_fit import UnfitWeightsError

SIDE, PATCH = 24, 4
IMAGES = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
SETTINGS = dict(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=SIDE,
    patch_size=PATCH,
)  # fmt: skip

HSG = dict(
    type='mmcroc.HSG',
    backbone=dict(
        type='mmpretrain.VisionTransformer',
        arch=ARCH,
        img_size=SIDE,
        patch_size=PATCH,
        out_type='featmap',
    ),
    neck=dict(type='mmcroc.HSGNeck', in_channels=32, out_channels=16),
    head=dict(type='mmcroc.HSGHead', num_groups=[], grid=(1, 1), kmeans_iterations=1),
)


@pytest.fixture(autouse=True)
def readers():
    with safe_checkpoint_reading():
        yield


def folder_of(tmp_path, kind='Dinov2', **settings):
    """A folder with random weights far from their start; gives the model, evaluating."""
    config = getattr(transformers, f'{kind}Config')(**{**SETTINGS, **settings})
    torch.manual_seed(0)
    model = getattr(transformers, f'{kind}Model')(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(tmp_path / 'folder')
    return model, tmp_path / 'folder'


def final_tokens(model):
    with torch.no_grad():
        return model(pixel_values=IMAGES).last_hidden_state


def vision_transformer(init_cfg=None):
    return MODELS.build(
        dict(
            type='mmpretrain.VisionTransformer',
            arch=ARCH,
            img_size=SIDE,
            patch_size=PATCH,
            layer_scale_init_value=1e-5,
            out_type='raw',
            init_cfg=init_cfg,
        )
    )


@pytest.mark.parametrize('name', ['{}', 'hf:{}', '{}/model.safetensors'])
def test_dinov2_keeps_its_tokens_in_mmpretrains_vit(tmp_path, name):
    model, folder = folder_of(tmp_path)
    out = tmp_path / 'out.pth'
    found = convert_checkpoint(name.format(folder), out)
    assert found == "Hugging Face's DINOv2 ViT, backbone"
    backbone = load_backbone(str(out))
    backbone.eval()
    with torch.no_grad():
        seen = backbone.forward_tapped(IMAGES)
    tokens = torch.cat([seen.cls_token[:, None], seen.tokens], 1)
    torch.testing.assert_close(tokens, final_tokens(model), rtol=0, atol=1e-4)


@pytest.mark.parametrize('name', ['{}', 'hf:{}', '{}/model.safetensors'])
def test_init_cfg_takes_the_folder_as_it_is(tmp_path, name):
    model, folder = folder_of(tmp_path)
    checkpoint = name.format(folder)
    vit = vision_transformer(
        dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    )
    vit.init_weights()
    vit.eval()
    with torch.no_grad():
        torch.testing.assert_close(vit(IMAGES)[0], final_tokens(model), rtol=0, atol=1e-4)


def test_load_from_takes_the_folder_as_it_is(tmp_path):
    model, folder = folder_of(tmp_path)
    classifier = MODELS.build(
        dict(type='mmpretrain.ImageClassifier', backbone=vision_transformer())
    )
    load_checkpoint(classifier, str(folder), strict=True)
    classifier.eval()
    with torch.no_grad():
        tokens = classifier.backbone(IMAGES)[0]
    torch.testing.assert_close(tokens, final_tokens(model), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ('kind', 'settings'),
    [
        ('Dinov2', dict(hidden_size=64, use_swiglu_ffn=True)),
        ('Dinov2WithRegisters', dict(num_register_tokens=4)),
        ('ViT', dict(intermediate_size=64, hidden_act='gelu')),
    ],
)
def test_others_keep_their_patch_tokens(tmp_path, kind, settings):
    model, folder = folder_of(tmp_path, kind, **settings)
    convert_checkpoint(folder, tmp_path / 'out.pth')
    backbone = MODELS.build(dict(type='mmcroc.PretrainedBackbone', model=str(tmp_path / 'out.pth')))
    want = final_tokens(model)[:, -((SIDE // PATCH) ** 2) :]
    tokens = backbone(IMAGES)[0].flatten(2).mT
    torch.testing.assert_close(tokens, want, rtol=0, atol=1e-4)


def test_mmpretrains_vit_cannot_hold_registers_and_that_is_said(tmp_path):
    _, folder = folder_of(tmp_path, 'Dinov2WithRegisters')
    with pytest.raises(UnfitWeightsError, match=r'cannot hold register tokens'):
        load_checkpoint(MODELS.build(HSG), str(folder))


def test_the_number_of_heads_is_read_beside_the_weights(tmp_path):
    """32 channels would be too few for heads of 64."""
    _, folder = folder_of(tmp_path)
    (folder / 'config.json').unlink()
    with pytest.raises(ValueError, match='attention heads is unknown'):
        convert_checkpoint(folder, tmp_path / 'out.pth')
    convert_checkpoint(folder, tmp_path / 'out.pth', num_heads=2)


def test_another_activation_is_refused(tmp_path):
    _, folder = folder_of(tmp_path)
    path = folder / 'config.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | dict(hidden_act='relu')))
    with pytest.raises(ValueError, match=r"hidden_act='relu'"):
        convert_checkpoint(folder, tmp_path / 'out.pth')


def test_a_folder_without_weights_is_named(tmp_path):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match=r'empty: it holds no model\.safetensors'):
        convert_checkpoint(tmp_path / 'empty', tmp_path / 'out.pth')
