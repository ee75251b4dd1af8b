"""transformers loads it and sees the same."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModel

from mmcroc.export.export import export_backbone
from mmcroc.weights.resnet_names import resnet_from_hf
from mmcroc.weights.vit_names import dinov2_from_hf, vit_from_hf
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


@pytest.mark.parametrize('images', [IMAGES, OTHER_IMAGES])
def test_vit_model_gives_the_same_tokens(vit_small, images, tmp_path):
    """At other sizes too: both interpolate positions alike."""
    export = export_backbone(vit_small.path, 'huggingface', tmp_path / 'out')
    tokens = run_usage(export, images=images)['tokens']
    weights = load_file(tmp_path / 'out/model.safetensors')
    assert_same_weights(vit_from_hf(weights), vit_small.backbone.state_dict())
    assert_same_tokens(as_map(tokens, images), vit_small.tokens(images))


def test_resnet_model_gives_the_same_features(resnet50, tmp_path):
    export = export_backbone(resnet50.path, 'huggingface', tmp_path / 'out')
    found = run_usage(export, images=IMAGES)['features']
    weights = load_file(tmp_path / 'out/model.safetensors')
    assert_same_weights(resnet_from_hf(weights), resnet50.backbone.state_dict())
    assert_same_tokens(found, resnet50.tokens(IMAGES))


@pytest.mark.parametrize(
    'cfg',
    [
        dict(type='mmseg.ResNet', depth=18, base_channels=8),
        dict(type='mmseg.ResNet', depth=50, stem_channels=16, base_channels=8),
        dict(type='mmseg.ResNet', depth=50, base_channels=8, style='caffe'),
        vit_config(TINY, patch_size=8, qkv_bias=False, norm_cfg=dict(type='LN', eps=1e-3)),
    ],
)
def test_other_architectures(cfg, tmp_path):
    saved = save(tmp_path, cfg)
    found = run_usage(
        export_backbone(saved.path, 'huggingface', tmp_path / 'out'), images=OTHER_IMAGES
    )
    if 'tokens' in found:
        found['features'] = as_map(found['tokens'], OTHER_IMAGES, 8)
    assert_same_tokens(found['features'], saved.tokens(OTHER_IMAGES))


SWIGLU = dict(ffn_type='swiglu_fused')


@pytest.mark.parametrize('images', [IMAGES, OTHER_IMAGES])
@pytest.mark.parametrize(
    ('changes', 'model'),
    [
        (dict(), 'Dinov2Model'),
        (dict(layer_cfgs=SWIGLU), 'Dinov2Model'),
        (dict(num_registers=2, position_antialias=True), 'Dinov2WithRegistersModel'),
    ],
)
def test_what_is_like_dinov2_gives_the_same_tokens(changes, model, images, tmp_path):
    saved = save(tmp_path, vit_config(TINY, layer_scale_init_value=0.5, **changes))
    export = export_backbone(saved.path, 'huggingface', tmp_path / 'out')
    found = run_usage(export, images=images)
    assert type(found['model']).__name__ == model
    weights = load_file(tmp_path / 'out/model.safetensors')
    assert_same_weights(dinov2_from_hf(weights), saved.backbone.state_dict())
    assert_same_tokens(as_map(found['tokens'], images), saved.tokens(images))


def test_a_folder_is_exported_again(tmp_path):
    """As any checkpoint: once it was a module of transformers, which no format describes."""
    saved = save(tmp_path, vit_config(TINY, layer_scale_init_value=0.5))
    export_backbone(saved.path, 'huggingface', tmp_path / 'folder')
    export_backbone(f'hf:{tmp_path / "folder"}', 'mmpretrain', tmp_path / 'again.pth')
    again = torch.load(tmp_path / 'again.pth', weights_only=True)
    weights = {key.removeprefix('backbone.'): value for key, value in again['state_dict'].items()}
    assert_same_weights(weights, saved.backbone.state_dict())
    assert again['meta']['mmcroc']['source'] == 'folder'


def test_transformers_finds_the_classes_and_the_normalisation(croc, tmp_path):
    export_backbone(croc.path, 'huggingface', tmp_path / 'out')
    model = AutoModel.from_pretrained(tmp_path / 'out')
    assert type(model).__name__ == 'ViTModel' and model.config.mmcroc['method'] == 'CrOC'
    processor = AutoImageProcessor.from_pretrained(tmp_path / 'out')
    white = np.full((50, 70, 3), 255, np.uint8)
    found = processor(images=white, return_tensors='pt')['pixel_values']
    wanted = torch.tensor([(255 - 120) / 60, (255 - 110) / 55, (255 - 100) / 50])
    assert found.shape == (1, 3, 64, 64)
    torch.testing.assert_close(found[0, :, 5, 5], wanted)


def test_the_model_card_tells_method_data_and_results(croc, tmp_path):
    results = [dict(model=str(croc.path), protocol='linear-leopart', data='voc',
                    metrics=dict(mIoU=41.777))]  # fmt: skip
    (tmp_path / 'results.json').write_text(json.dumps(dict(results=results)))
    export_backbone(croc.path, 'huggingface', tmp_path / 'out', results=[tmp_path / 'results.json'])
    card = (tmp_path / 'out/README.md').read_text()
    assert '| linear-leopart | voc | mIoU | 41.78 |' in card
    assert '| method | CrOC |' in card and '| epochs | 7 |' in card
    assert 'UnlabelledImages VOC2012 JPEGImages' in card and 'private' not in card
    assert str(tmp_path) not in card and "from_pretrained('out'" in card
    assert card.startswith('---\nlibrary_name: transformers\n')


@pytest.mark.parametrize(
    ('cfg', 'why'),
    [
        (
            vit_config(TINY, layer_scale_init_value=0.5, pre_norm=True),
            'Dinov2Model has no pre_norm',
        ),
        (vit_config(TINY, num_registers=1, position_antialias=True), 'no layer_scale'),
        (
            vit_config(dict(TINY, feedforward_channels=80), layer_scale_init_value=0.5),
            'channels=80',
        ),
        (dict(type='mmseg.ResNetV1c', depth=18), 'ResNetV1c'),
    ],
)
def test_what_transformers_has_not_is_refused(cfg, why, tmp_path):
    saved = save(tmp_path, cfg)
    with pytest.raises(ValueError, match=why):
        export_backbone(saved.path, 'huggingface', tmp_path / 'out')
    assert [path.name for path in tmp_path.iterdir()] == ['checkpoint.pth']
